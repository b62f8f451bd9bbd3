"""The mail domain that a sandbox is started for, as it is typed."""

import ipaddress

import typer

from relay.config import KINDS

_KIND = KINDS["mail_domain"]


def mail_domain(text: str) -> str:
    """The domain in its one spelling; a bare IP address means its literal.

    Raises typer.BadParameter.
    """
    try:
        domain: str = _KIND.parse(_literal(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: {_KIND.allowed} is allowed") from None
    if not domain.isascii():
        # Postfix and certificates know A-labels only (RFC 5890).
        raise typer.BadParameter(f"{text!r}: {_KIND.allowed} is allowed, in ASCII{_hint(domain)}")
    return domain


def _literal(text: str) -> str:
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(inside)
    except ValueError:
        return text
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


def _hint(domain: str) -> str:
    try:
        return f" ({domain.encode('idna').decode()})"
    except UnicodeError:
        return ""
