"""Content-Type values (RFC 2045, 5.1), read by one grammar.

No other reading is tried: comments, RFC 2231 parameters, quoted pairs and duplicate parameters,
over which two parsers might disagree, are refused.
"""

import re
from typing import NamedTuple

from filtermail.gate.armour import BEGIN, END
from filtermail.gate.verdict import Malformed, NotEncrypted

MAX_PARAMETERS = 20
"""More than any program writes; each takes a microsecond."""
_TOKEN = rb"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"
_TYPE = re.compile(rb"(" + _TOKEN + rb"/" + _TOKEN + rb")")
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(" + _TOKEN + rb")=(?:(" + _TOKEN + rb')|"([^"\\\r\n]*)")')
_TRAILER = re.compile(rb"[ \t]*+;?[ \t]*+")
# RFC 2046, 5.1.1: bchars, at most 70; without the blank, at which a header may have been folded.
BOUNDARY = re.compile(rb"[A-Za-z0-9'()+_,./:=?-]{1,70}")
# As cores write it, and most programs: one expression in place of one per parameter.
_ENCRYPTED = re.compile(
    rb'multipart/encrypted; ?protocol="application/pgp-encrypted"; ?boundary="([^"\\\r\n]*)"'
)


class ContentType(NamedTuple):
    """A media type with its parameters; names, and the type, in lower case."""

    media: bytes
    parameters: dict[bytes, bytes]

    @classmethod
    def parse(cls, value: bytes) -> "ContentType":
        """Read a Content-Type's value (RFC 2045, 5.1); raises Malformed."""
        if usual := _ENCRYPTED.fullmatch(value):
            protocol = b"application/pgp-encrypted"
            return cls(b"multipart/encrypted", {b"protocol": protocol, b"boundary": usual[1]})
        match = _TYPE.match(value)
        if match is None:
            raise Malformed("a Content-Type that is none")
        parameters: dict[bytes, bytes] = {}
        at = match.end()
        while found := _PARAMETER.match(value, at):
            name = found[1].lower()
            if name in parameters or b"*" in name or len(parameters) == MAX_PARAMETERS:
                raise Malformed("a Content-Type with doubtful parameters")
            parameters[name] = found[3] if found[2] is None else found[2]
            at = found.end()
        if not _TRAILER.fullmatch(value, at):
            raise Malformed("a Content-Type with something after its parameters")
        return cls(match[1].lower(), parameters)

    def boundary(self) -> bytes:
        """The multipart's boundary; raises NotEncrypted where there is no proper one."""
        boundary = self.parameters.get(b"boundary", b"")
        if not BOUNDARY.fullmatch(boundary):
            raise NotEncrypted("a multipart without a proper boundary")
        delimiter = b"--" + boundary
        if BEGIN.startswith(delimiter) or END.startswith(delimiter):
            raise NotEncrypted("a boundary that the PGP armour begins with")
        return boundary
