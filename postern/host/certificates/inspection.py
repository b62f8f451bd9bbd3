"""What is wrong with the certificate: the one installed, and the one that the servers show.

`judge` is pure; `inspect` looks.
"""

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from postern.host.certificates.pair import Pair, Unusable, read
from postern.host.certificates.provision import THIS_HOST, Host
from postern.host.certificates.wanted import Kind, certified_name, covers, kind
from relay.config import Config

PORTS = (993, 465, 443)
SECONDS = 8.0
"""How long a server on this host may take to show its certificate."""
Shown = bytes | str
"""A certificate as TLS sends it, or in words why there is none."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """The state of the certificate."""

    kind: Kind
    pair: Pair | None
    problems: tuple[str, ...]
    """In words, each with its mend; none if all is well."""


def inspect(
    config: Config, host: Host = THIS_HOST, show: Callable[[int], Shown] | None = None
) -> Inspection:
    """Look at the files and ask the servers on this host."""
    wanted = kind(config)
    try:
        pair = read(host.installed)
    except Unusable as unusable:
        return Inspection(wanted, None, (f"{unusable}. Run as root: postern certificates renew",))
    shown = {port: (show or shown_on)(port) for port in PORTS}
    return Inspection(wanted, pair, tuple(judge(config, pair, shown, host.now())))


def judge(config: Config, pair: Pair, shown: Mapping[int, Shown], now: datetime) -> Iterator[str]:
    """What is wrong with a certificate that is installed, and with what the ports show."""
    wanted, name = kind(config), certified_name(config.mail_domain)
    if not covers(pair.names, name):
        yield f"the certificate is not for {name} but for {', '.join(pair.names) or 'no name'}"
    yield from _age(pair, wanted, now)
    if pair.is_self_signed and wanted is not Kind.SELF_SIGNED:
        yield f"the certificate is self-signed: clients and servers refuse it. {_MENDS[wanted]}"
    for port, certificate in shown.items():
        if isinstance(certificate, str):
            yield f"port {port} shows no certificate: {certificate}"
        elif certificate != pair.der:
            yield (
                f"port {port} shows another certificate than the one that is installed. Run: "
                "systemctl reload dovecot postfix nginx"
            )


_MENDS = {
    Kind.ACME: "What the ACME server objects to is said by: postern certificates renew",
    Kind.EXTERNAL: "Replace the files that tls_external_cert_and_key names",
    Kind.SELF_SIGNED: "Run: postern certificates renew",
}


def _age(pair: Pair, wanted: Kind, now: datetime) -> Iterator[str]:
    if now >= pair.expires:
        yield f"the certificate expired on {pair.expires:%Y-%m-%d}. {_MENDS[wanted]}"
    elif pair.is_late(now):
        left = (pair.expires - now).days
        yield (
            f"the certificate expires in {left} days and was not renewed in time. {_MENDS[wanted]}"
        )
    elif now < pair.leaf.not_valid_before_utc:
        yield f"the certificate is not valid yet; the clock says {now:%Y-%m-%d %H:%M} UTC"


def shown_on(port: int) -> Shown:
    """The certificate that a loopback port shows."""
    # It is asked which certificate it has, not whether that is valid.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection,
            context.wrap_socket(connection) as tls,
        ):
            return tls.getpeercert(binary_form=True) or "none is shown"
    except TimeoutError:
        return f"no answer within {SECONDS:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__
