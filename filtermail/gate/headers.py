"""A message's header block: its grammar, and which of its fields leave the relay.

Grammar (RFC 5322, 2.2; RFC 6532): lines end in CRLF; a field is a name of printable ASCII, a
colon directly after it, and a value that may be folded; no NUL, no bare CR or LF. An empty line
ends the block.

Outgoing, fields pass by name, and whatever is not listed is dropped: of an accepted message the
operators see date, sender, receivers and size, and the next relay learns no more either.
docs/headers.md gives the reason for each.
"""

import re

from filtermail.gate.verdict import Malformed

MAX_BLOCK = 256 * 1024
"""Octets of a header block: an Autocrypt key with post-quantum parts is of some ten thousand."""

_VALUE = rb"(?:[^\r\n\0]++|\r\n[ \t])*+"
# The whole block first: findall alone would pass over what is no field.
_BLOCK = re.compile(rb"(?:[!-9;-~]++:" + _VALUE + rb"\r\n)*+")
_FIELD = re.compile(rb"(([!-9;-~]++):(" + _VALUE + rb")\r\n)")
_FOLD = re.compile(rb"\r\n(?=[ \t])")

KEPT = frozenset(
    b"to cc date message-id in-reply-to references content-type content-transfer-encoding "
    b"auto-submitted autocrypt secure-join".split()
)
PREFIXES = (b"chat-", b"autocrypt-", b"secure-join-", b"list-")
REPLACED = {b"subject": b"Subject: [...]\r\n", b"mime-version": b"MIME-Version: 1.0\r\n"}


class Headers:
    """A parsed header block."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        # Each field as it came, its name in lower case, and its value as it came.
        self._fields = [(raw, name.lower(), value) for raw, name, value in _FIELD.findall(block)]

    @classmethod
    def parse(cls, block: bytes) -> "Headers":
        """Read a block without the empty line that ends it; raises Malformed."""
        if not _BLOCK.fullmatch(block):
            raise Malformed("a header field that is none")
        return cls(block)

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
        """The block as it leaves: fields that are kept, in their order; `author` without a name."""
        replaced = REPLACED | {b"from": b"From: <" + author + b">\r\n"}
        return b"".join(
            replaced.get(name, raw)
            for raw, name, _ in self._fields
            if name in KEPT or name in replaced or name.startswith(PREFIXES)
        )

    def unchanged(self) -> bytes:
        """The block as it came."""
        return self._block


def _unfolded(value: bytes) -> bytes:
    if b"\r\n" in value:
        value = _FOLD.sub(b"", value)
    return value.strip(b" \t")
