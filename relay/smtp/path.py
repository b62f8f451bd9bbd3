"""The argument of MAIL and RCPT: a path in angle brackets, then parameters (RFC 5321, 4.1.2). Pure.

Between the brackets, `relay.address` decides. Source routes (`<@a,@b:c@d>`) are refused: RFC 5321,
appendix C lets a server do so, and nobody has sent one for decades.
"""

import re
from typing import NamedTuple

from relay.address import Address, InvalidAddress

_ARGUMENT = re.compile(r'<((?:[^<>"\s]|"(?:[^"\\]|\\.)*")*)>((?: +\S+)*) *')

_SIZE = re.compile(r"SIZE=([0-9]+)")


class Path(NamedTuple):
    """A path as it was written, as it is understood, and the parameters behind it."""

    text: str
    """To be passed on as it came, never rebuilt."""
    address: Address | None
    """None for the empty path, `<>`."""
    parameters: tuple[str, ...]
    """In upper case."""

    @property
    def size(self) -> int:
        """The size that the client announces (RFC 1870) in octets, 0 without one."""
        announced = (_SIZE.fullmatch(parameter) for parameter in self.parameters)
        return max((int(match[1]) for match in announced if match), default=0)


def parse_path(keyword: str, argument: str, postmaster: str = "") -> Path:
    """Read `FROM:<path> parameters`; raises InvalidAddress.

    `postmaster` is the domain of a bare `<postmaster>` (RFC 5321, 4.5.1); empty refuses it.
    """
    at = len(keyword)
    match = _ARGUMENT.fullmatch(argument[at:].lstrip(" "))
    if match is None or argument[:at].upper() != keyword:
        raise InvalidAddress(f"the syntax is {keyword}<address>")
    text = match[1]
    if not text:
        address = None
    elif postmaster and text.lower() == "postmaster":
        address = Address.parse(f"{text}@{postmaster}")
    else:
        address = Address.parse(text)
    return Path(text, address, tuple(match[2].upper().split()))
