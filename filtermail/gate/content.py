"""The few header values that decide about a message: its type, its encoding, and its author.

Each is read by one grammar and no other reading is tried: comments and groups in From, over which
two parsers might disagree, are refused; `filtermail.gate.mediatype` does the same for types.
"""

import re

from filtermail.gate.headers import Headers
from filtermail.gate.mediatype import ContentType
from filtermail.gate.verdict import Malformed, NotEncrypted
from relay.address import Address, InvalidAddress

DAEMON_NAMES = rb"(?:mail delivery (?:system|subsystem|service)|mailer-daemon|postmaster)"
# A display name of atoms, quoted strings and what is beyond ASCII, then <address>; or it alone;
# or as Postfix writes its own: the address and a name in a comment.
_FROM = re.compile(
    rb'(?:(?:[^"<>,;:()@\\\0\r\n]++|"(?:[^"\\\0\r\n]|\\[ -~])*+")*+<([^<>]+)>|([^<>,;:()"\s]+))'
    rb"|((?i:mailer-daemon)@[^<>,;:()\"\s]+)[ \t]+\((?i:" + DAEMON_NAMES + rb")\)"
)
# A comment may name the program (RFC 2045, 4).
_MIME_VERSION = re.compile(rb"1\.0(?: *\([ -'*-~]*\))?")
_ENCODING_OK = (None, b"7bit", b"8bit")


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
    return match[1] or match[2] or match[3]
