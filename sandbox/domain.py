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
        allowed = f"{_KIND.allowed} is allowed{_hint(text)}"
        raise typer.BadParameter(f"{text!r}: {allowed}") from None
    return domain


def _literal(text: str) -> str:
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(inside)
    except ValueError:
        return text
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


def _hint(text: str) -> str:
    """The same domain in A-labels (RFC 5890), if it is one beyond ASCII."""
    try:
        return "" if text.isascii() else f", such as {text.encode('idna').decode()}"
    except UnicodeError:
        return ""
