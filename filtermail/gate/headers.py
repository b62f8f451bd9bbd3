"""A message's header block: its grammar, and which of its fields leave the relay.

Grammar (RFC 5322, 2.2; RFC 6532): lines end in CRLF; a field is a name of printable ASCII, a
colon directly after it, and a value that may be folded; no NUL, no bare CR or LF. An empty line
ends the block.

Incoming, a block is passed on as it came, because DKIM signs it. Outgoing, it is written anew,
field by field: `filtermail.gate.outgoing` has the closed list.
"""

import re

from filtermail.gate.outgoing import FIELDS, leaves_unchanged, leaving
from filtermail.gate.verdict import Malformed

MAX_BLOCK = 128 * 1024
"""Octets of a header block: an Autocrypt key with post-quantum parts is of some ten thousand, and
Postfix itself takes 100 KB (header_size_limit)."""
MAX_FIELDS = 500
"""Far more than any message has: of those that came many ways, some 150."""
MAX_LINES = 2000
"""Lines of a header block, which may be folded: To with a thousand addresses, and a large key."""
MAX_VALUE = 2000
"""Octets of a value that decides about the message, as `Headers.one` returns it."""
MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5322, 2.1.1)."""

# A value with its CRLF. That there is no bare CR or LF, and no NUL, is seen otherwise: to look for
# one octet, as for the LF here, is many times faster than for one of several.
_VALUE = rb"[^\n]*+\n(?:[ \t][^\n]*+\n)*+"
# The second kind is what is no field, with all that follows it: else findall would pass over it.
_FIELD = re.compile(rb"([!-9;-~]++):(" + _VALUE + rb")|[\x00-\xff]++")
_LONG = MAX_LINE + 2


class Headers:
    """A parsed header block."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        # No loop of our own over what may be a thousand fields.
        names, values = zip(*_FIELD.findall(block), strict=True) if block else ((), ())
        self._names = [*map(bytes.lower, names)]
        self._values = values
        # The last of each name first, so that the first one stays.
        self._first = dict(zip(reversed(self._names), reversed(self._values), strict=True))

    @classmethod
    def parse(cls, block: bytes) -> "Headers":
        """Read a block without the empty line that ends it; raises Malformed."""
        lines = block.count(b"\r\n")
        if lines > MAX_LINES:
            raise Malformed(f"more than {MAX_LINES} lines of headers")
        bare = block.count(b"\n") != lines or block.count(b"\r") != lines
        headers = cls(block)
        if bare or b"\0" in block or (headers._names and not headers._names[-1]):
            raise Malformed("a header field that is none")
        if _has_long_line(block):
            raise Malformed(f"a header line of more than {MAX_LINE} octets")
        if len(headers._names) > MAX_FIELDS:
            raise Malformed(f"more than {MAX_FIELDS} header fields")
        return headers

    def all(self, name: bytes) -> list[bytes]:
        """The values of every field of that name (lower case), unfolded and stripped."""
        fields = zip(self._names, self._values, strict=True)
        return [_unfolded(value) for found, value in fields if found == name]

    def one(self, name: bytes) -> bytes | None:
        """The value of the only field of that name, None without one.

        Raises Malformed where there are more, or it has more than `MAX_VALUE` octets.
        """
        value = self._first.get(name)
        if value is None:
            return None
        if len(self._first) < len(self._names) and self._names.count(name) > 1:
            raise Malformed(f"more than one {name.decode('ascii').title()} header")
        if len(value) > MAX_VALUE:
            raise Malformed(f"a {name.decode('ascii').title()} header that is too long")
        return _unfolded(value)

    def outgoing(self, author: bytes) -> bytes:
        """The block as it leaves: of each field that may the first, in their order, written anew.

        What it looks at are the listed fields, once each: others cost nothing.
        """
        if leaves_unchanged(self._block):
            return self._block
        names = [name for name in dict.fromkeys(self._names) if name in FIELDS]
        made = [leaving(name, _unfolded(self._first[name]), author) for name in names]
        return b"".join(field for field in made if field)

    def unchanged(self) -> bytes:
        """The block as it came."""
        return self._block


def _has_long_line(block: bytes) -> bool:
    at, end = 0, len(block)
    # From each line's beginning to the last line that ends within reach: few steps.
    while end - at > _LONG:
        at = block.rfind(b"\n", at, at + _LONG) + 1
        if not at:
            return True
    return False


def _unfolded(value: bytes) -> bytes:
    return value.replace(b"\r\n", b"").strip(b" \t")
