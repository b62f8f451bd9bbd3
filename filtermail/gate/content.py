"""The few header values that decide about a message: Content-Type and From.

Both are read by one grammar and no other reading is tried: comments, RFC 2231 parameters, quoted
pairs and duplicate parameters, over which two parsers might disagree, are refused.
"""

import re
from typing import NamedTuple

from filtermail.gate.armour import BEGIN, END
from filtermail.gate.headers import Headers
from filtermail.gate.verdict import Malformed, NotEncrypted
from relay.address import Address, InvalidAddress

_TOKEN = rb"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"
_TYPE = re.compile(rb"(" + _TOKEN + rb"/" + _TOKEN + rb")")
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(" + _TOKEN + rb")=(?:(" + _TOKEN + rb')|"([^"\\\r\n]*)")')
_TRAILER = re.compile(rb"[ \t]*+;?[ \t]*+")
# RFC 2046, 5.1.1: bchars, at most 70; without the blank, at which a header may have been folded.
_BOUNDARY = re.compile(rb"[A-Za-z0-9'()+_,./:=?-]{1,70}")
# A display name of atoms, quoted strings and what is beyond ASCII, then <address>; or it alone.
_FROM = re.compile(
    rb'(?:(?:[^"<>,;:()@\\\0\r\n]++|"(?:[^"\\\0\r\n]|\\[ -~])*+")*+<([^<>]+)>|([^<>,;:()"\s]+))'
)
# A comment may name the program (RFC 2045, 4).
_MIME_VERSION = re.compile(rb"1\.0(?: *\([ -'*-~]*\))?")
_ENCODING_OK = (None, b"7bit", b"8bit")


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
            if name in parameters or b"*" in name:
                raise Malformed("a Content-Type with doubtful parameters")
            parameters[name] = found[3] if found[2] is None else found[2]
            at = found.end()
        if not _TRAILER.fullmatch(value, at):
            raise Malformed("a Content-Type with something after its parameters")
        return cls(match[1].lower(), parameters)

    def boundary(self) -> bytes:
        """The multipart's boundary; raises NotEncrypted where there is no proper one."""
        boundary = self.parameters.get(b"boundary", b"")
        if not _BOUNDARY.fullmatch(boundary):
            raise NotEncrypted("a multipart without a proper boundary")
        delimiter = b"--" + boundary
        if BEGIN.startswith(delimiter) or END.startswith(delimiter):
            raise NotEncrypted("a boundary that the PGP armour begins with")
        return boundary


def content_type(headers: Headers) -> ContentType:
    """The message's media type, `text/plain` without any (RFC 2045, 5.2); raises Malformed."""
    value = headers.one(b"content-type")
    return ContentType(b"text/plain", {}) if value is None else ContentType.parse(value)


def check_identity_encoding(headers: Headers) -> None:
    """Raise NotEncrypted where the body is in an encoding, which would hide what it is."""
    encoding = headers.one(b"content-transfer-encoding")
    if (encoding and encoding.lower()) not in _ENCODING_OK:
        raise NotEncrypted("a body in a transfer encoding")


def check_mime_version(headers: Headers) -> None:
    """Raise Malformed where MIME-Version is there twice or is not 1.0 (RFC 2045, 4)."""
    value = headers.one(b"mime-version")
    if value is not None and not _MIME_VERSION.fullmatch(value):
        raise Malformed("a MIME-Version that is not 1.0")


def author(headers: Headers) -> Address:
    """The one address of the From header (RFC 5322, 3.6.2); raises Malformed."""
    try:
        return Address.parse(author_text(headers).decode("utf-8"))
    except (InvalidAddress, UnicodeDecodeError):
        raise Malformed("a From header whose address is none") from None


def author_text(headers: Headers) -> bytes:
    """That address as it is written; raises Malformed."""
    value = headers.one(b"from")
    match = _FROM.fullmatch(value) if value is not None else None
    if match is None:
        raise Malformed("no From header with exactly one address")
    return match[1] or match[2]
