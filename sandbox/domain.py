"""The mail domain that a sandbox is started for, as it is typed."""

import ipaddress

import typer

from relay.config import KINDS, Mend

_KIND = KINDS["mail_domain"]


def mail_domain(text: str) -> str:
    """The domain in its one spelling; a bare IP address means its literal.

    Raises typer.BadParameter.
    """
    try:
        domain: str = _KIND.parse(_literal(text))
    except Mend as mend:
        raise typer.BadParameter(f"{text!r}: {_KIND.allowed} is allowed: {mend}") from None
    except ValueError:
        raise typer.BadParameter(f"{text!r}: {_KIND.allowed} is allowed") from None
    return domain


def _literal(text: str) -> str:
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(inside)
    except ValueError:
        return text
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"
