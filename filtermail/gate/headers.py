"""A message's header block: its grammar, and which of its fields leave the relay.

Grammar (RFC 5322, 2.2; RFC 6532): lines end in CRLF; a field is a name of printable ASCII, a
colon directly after it, and a value that may be folded; no NUL, no bare CR or LF. An empty line
ends the block.

Outgoing, fields pass by name, and whatever is not listed is dropped: of an accepted message the
operators see date, sender, receivers and size, and the next relay learns no more either.
docs/headers.md gives the reason for each.
"""

import re
from typing import NamedTuple

from filtermail.gate.verdict import Malformed

MAX_BLOCK = 256 * 1024
"""Octets of a header block: an Autocrypt key with post-quantum parts is of some ten thousand."""

_FIELD = re.compile(rb"([!-9;-~]+):((?:[^\r\n\0]++|\r\n[ \t])*+)\r\n")
_FOLD = re.compile(rb"\r\n(?=[ \t])")

KEPT = frozenset(
    b"to cc date message-id in-reply-to references content-type content-transfer-encoding "
    b"auto-submitted autocrypt secure-join".split()
)
PREFIXES = (b"chat-", b"autocrypt-", b"secure-join-", b"list-")
REPLACED = {b"subject": b"Subject: [...]\r\n", b"mime-version": b"MIME-Version: 1.0\r\n"}


class Field(NamedTuple):
    """A header field."""

    name: bytes
    """In lower case."""
    value: bytes
    """Unfolded, without white space around it."""
    raw: bytes
    """As it came, with its CRLF."""


class Headers:
    """A parsed header block."""

    def __init__(self, fields: list[Field]) -> None:
        self.fields = fields

    @classmethod
    def parse(cls, block: bytes) -> "Headers":
        """Read a block without the empty line that ends it; raises Malformed."""
        fields, at = [], 0
        while at < len(block):
            match = _FIELD.match(block, at)
            if match is None:
                raise Malformed("a header field that is none")
            value = match[2]
            if b"\r\n" in value:
                value = _FOLD.sub(b"", value)
            fields.append(Field(match[1].lower(), value.strip(b" \t"), match[0]))
            at = match.end()
        return cls(fields)

    def all(self, name: bytes) -> list[bytes]:
        """The values of every field of that name (lower case)."""
        return [field.value for field in self.fields if field.name == name]

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
            replaced.get(field.name, field.raw)
            for field in self.fields
            if field.name in KEPT or field.name in replaced or field.name.startswith(PREFIXES)
        )

    def unchanged(self) -> bytes:
        """The block as it came."""
        return b"".join(field.raw for field in self.fields)
