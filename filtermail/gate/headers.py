"""A message's header block: its grammar, and which of its fields leave the relay.

Grammar (RFC 5322, 2.2; RFC 6532): lines end in CRLF; a field is a name of printable ASCII, a
colon directly after it, and a value that may be folded; no NUL, no bare CR or LF. An empty line
ends the block.

Incoming, a block is passed on as it came, because DKIM signs it. Outgoing, it is written anew,
field by field: `filtermail.gate.outgoing` has the closed list.
"""

import re

from filtermail.gate.outgoing import leaves_unchanged, leaving
from filtermail.gate.verdict import Malformed

MAX_BLOCK = 256 * 1024
"""Octets of a header block: an Autocrypt key with post-quantum parts is of some ten thousand."""
MAX_FIELDS = 1000
MAX_LINES = 5000
"""Lines of a header block, which may be folded: To with a thousand addresses, and a large key."""
MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5322, 2.1.1)."""

_VALUE = rb"(?:[^\r\n\0]++|\r\n[ \t])*+"
# The whole block first: findall alone would pass over what is no field.
_BLOCK = re.compile(rb"(?:[!-9;-~]++:" + _VALUE + rb"\r\n)*+")
_FIELD = re.compile(rb"(([!-9;-~]++):(" + _VALUE + rb")\r\n)")
_FOLD = re.compile(rb"\r\n(?=[ \t])")


class Headers:
    """A parsed header block."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        # Each field as it came, its name in lower case, and its value as it came.
        self._fields = [(raw, name.lower(), value) for raw, name, value in _FIELD.findall(block)]

    @classmethod
    def parse(cls, block: bytes) -> "Headers":
        """Read a block without the empty line that ends it; raises Malformed."""
        if block.count(b"\r\n") > MAX_LINES:
            raise Malformed(f"more than {MAX_LINES} lines of headers")
        if not _BLOCK.fullmatch(block):
            raise Malformed("a header field that is none")
        if len(block) > MAX_LINE and max(map(len, block.split(b"\r\n"))) > MAX_LINE:
            raise Malformed(f"a header line of more than {MAX_LINE} octets")
        headers = cls(block)
        if len(headers._fields) > MAX_FIELDS:
            raise Malformed(f"more than {MAX_FIELDS} header fields")
        return headers

    def all(self, name: bytes) -> list[bytes]:
        """The values of every field of that name (lower case), unfolded and stripped."""
        return [_unfolded(value) for _, found, value in self._fields if found == name]

    def one(self, name: bytes) -> bytes | None:
        """The value of the only field of that name, None without one; raises Malformed."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"more than one {name.decode('ascii').title()} header")
        return values[0] if values else None

    def outgoing(self, author: bytes) -> bytes:
        """The block as it leaves: the fields that may, once each, in their order, written anew."""
        if leaves_unchanged(self._block):
            return self._block
        made: dict[bytes, bytes] = {}
        for _, name, value in self._fields:
            if name not in made and (field := leaving(name, _unfolded(value), author)):
                made[name] = field
        return b"".join(made.values())

    def unchanged(self) -> bytes:
        """The block as it came."""
        return self._block


def _unfolded(value: bytes) -> bytes:
    if b"\r\n" in value:
        value = _FOLD.sub(b"", value)
    return value.strip(b" \t")
