"""Which certificate a relay needs: from whom, and for which names. Pure."""

from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path

from relay.config import CertificateFiles, Config

INSTALLED = CertificateFiles(
    Path("/etc/postern/tls/fullchain.pem"), Path("/etc/postern/tls/privkey.pem")
)
"""What the servers of a host read."""
ACME_WEBROOT = Path("/var/lib/postern/acme")
"""Where nginx serves the answers to http-01 challenges from (RFC 8555, 8.3)."""
_BESIDE = ("mta-sts", "autoconfig", "www")
"""Names below the domain that the web server answers too, where they exist."""

Addresses = Callable[[str], set[str]]
"""The IP addresses of a name, as this host resolves it; none where it does not."""


class Kind(Enum):
    """Who issues the certificate."""

    ACME = "ACME"
    EXTERNAL = "external"
    """The operator, or a program of the operator's."""
    SELF_SIGNED = "self-signed"


def kind(config: Config) -> Kind:
    """The kind that the configuration asks for.

    Clients take any certificate from a domain that begins with `_`, and an ACME server signs for
    neither such a domain nor, in general, an address: these certificates are self-signed.
    """
    if config.tls_external_cert_and_key is not None:
        return Kind.EXTERNAL
    if config.mail_domain.startswith(("_", "[")):
        return Kind.SELF_SIGNED
    return Kind.ACME


def certified_name(domain: str) -> str:
    """The name in the certificate: the domain, or the address in a literal (RFC 5321, 4.1.3)."""
    return domain.removeprefix("[").removesuffix("]").removeprefix("ipv6:")


def names_to_ask_for(domain: str, addresses: Addresses) -> list[str]:
    """The names for an ACME order: the domain, and those beside it that lead to the same host.

    One name that cannot be validated fails the whole order.
    """
    own = addresses(domain)
    beside = [f"{label}.{domain}" for label in _BESIDE]
    return [domain, *(name for name in beside if own and _within(addresses(name), own))]


def _within(some: set[str], all_of_them: set[str]) -> bool:
    return bool(some) and some <= all_of_them


def covers(names: Iterable[str], name: str) -> bool:
    """Whether a certificate with these names is valid for `name` (RFC 6125, 6.4.3)."""
    _, _, parent = name.partition(".")
    return name in names or (bool(parent) and f"*.{parent}" in names)
