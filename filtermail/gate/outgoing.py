"""What a header field looks like when it leaves the relay: a closed list, each with its grammar.

Of an accepted message the next relay learns date, sender, receivers, size, and how its client
threads it. So a field leaves only if it is listed here, once, and only in a form that has no room
for text: most are not passed on but written anew from what was understood. A field that is not
listed, that comes a second time, or whose value does not fit, is dropped; the message goes without
it. From, Content-Type, MIME-Version and Content-Transfer-Encoding are not dropped but refused
where they are ambiguous: `filtermail.gate.grammar` does that before.

docs/headers.md is the table, with the reason for each; a test holds it against `FIELDS`.
"""

import binascii
import re
from collections.abc import Callable
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from typing import NamedTuple

from filtermail.gate.mediatype import BOUNDARY, ContentType
from filtermail.gate.verdict import Malformed
from relay.address import Address, InvalidAddress

MAX_ADDRESSES = 100
"""In To or Cc. Longer lists are of old clients' large groups, whose members are inside as well."""
MAX_LIST = 16 * 1024
"""Octets of To or Cc, display names included."""
MAX_REFERENCES = 10
"""Message ids in References, the last ones; RFC 5537, 3.4.4, trims in a similar way."""
MAX_IDS = 8 * 1024
"""Octets of References as it comes: a hundred ids."""
MAX_KEY = 32 * 1024
"""Octets of an Autocrypt key in base64: one with post-quantum parts has some ten thousand."""
HIDDEN = b'"hidden-recipients": ;'

Form = Callable[[bytes, bytes], bytes | None]
"""From an unfolded value and the message's author to what leaves, None where nothing does."""

_FOLD = b"\r\n "
_HIDDEN = re.compile(rb'(?:"?hidden-recipients"?|undisclosed-recipients):[ \t]*;', re.IGNORECASE)
# Atoms, quoted strings and what is beyond ASCII, then <address>; or the address alone.
_MAILBOX = re.compile(
    rb'[ \t]*+(?:(?:[^"<>,;:()@\\\r\n]++|"(?:[^"\\\r\n]|\\[ -~])*+")*+<([^<>",;() \t]++)>'
    rb'|([^<>,;:()" \t]++))[ \t]*+(?:,|\Z)'
)
MESSAGE_ID = rb"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,200}@[A-Za-z0-9._:\[\]-]{1,100}>"
_ONE_ID = re.compile(MESSAGE_ID)
_IDS = re.compile(rb"(?:" + MESSAGE_ID + rb"[ \t]*+)++")
_DAYS = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTHS = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_UTC = re.compile(
    _DAYS + rb", [0-3][0-9] " + _MONTHS + rb" [12][0-9]{3} [0-2][0-9]:[0-5][0-9]:[0-5][0-9] \+0000"
)
# RFC 5322, 3.3; a zone's name in a comment may follow.
_DATE = re.compile(
    rb"((?:" + _DAYS + rb", *)?[0-3]?[0-9] +" + _MONTHS + rb" +[12][0-9]{3} +"
    rb"[0-2]?[0-9]:[0-5][0-9](?::[0-6][0-9])? +(?:[+-][0-9]{4}|GMT|UT))(?: *\([^()]{0,60}\))?",
    re.IGNORECASE,
)  # fmt: skip
_TYPES = (b"multipart/encrypted", b"multipart/mixed", b"text/plain")
_PARAMETERS = {
    b"protocol": re.compile(rb"(?i:application/pgp-encrypted)"),
    b"boundary": BOUNDARY,
    b"charset": re.compile(rb"utf-8"),
    b"format": re.compile(rb"flowed"),
    b"delsp": re.compile(rb"no"),
}
_AUTOCRYPT = re.compile(
    rb"addr=([^;\s]{3,254});[ \t]*(prefer-encrypt=(?:mutual|nopreference);)?[ \t]*"
    rb"keydata=([A-Za-z0-9+/ \t]+={0,2})"
)
_KEY_PACKETS = (0xC6, 0x98, 0x99)
"""First octets of a public key, in the OpenPGP and the legacy format (RFC 9580, 4.2)."""

# What cores of today write, which leaves as it is: one expression in place of one per field.
_STANDARD = re.compile(
    rb"From: <[^<>\r\n]+>\r\nDate: " + _UTC.pattern + rb"\r\nMessage-ID: " + MESSAGE_ID + rb"\r\n"
    rb'MIME-Version: 1\.0\r\nTo: "hidden-recipients": ;\r\nSubject: \[\.\.\.\]\r\n'
    rb"(?:Chat-Is-Post-Message: 1\r\n)?"
    rb'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n'
    rb' boundary="[A-Za-z0-9_]{1,70}"\r\n'
)


class Field(NamedTuple):
    """How a header field that is listed leaves."""

    name: bytes
    """As it is written."""
    form: Form


def leaves_unchanged(block: bytes) -> bool:
    """Return whether a header block is known at one look to leave as it is."""
    return _STANDARD.fullmatch(block) is not None


def leaving(name: bytes, value: bytes, author: bytes) -> bytes | None:
    """The field as it leaves, with its CRLF, or None; `name` is in lower case."""
    field = FIELDS.get(name)
    made = field.form(value, author) if field is not None else None
    return None if field is None or made is None else field.name + b": " + made + b"\r\n"


def _always(made: bytes) -> Form:
    return lambda _value, _author: made


def _one_of(*values: bytes) -> Form:
    return lambda value, _author: value.lower() if value.lower() in values else None


def _matching(pattern: bytes) -> Form:
    fits = re.compile(pattern).fullmatch
    return lambda value, _author: value if fits(value) else None


def _from(_value: bytes, author: bytes) -> bytes:
    return b"<" + author + b">"


def _addresses(value: bytes, _author: bytes) -> bytes:
    """The bare addresses; that there are some, where the value cannot be read."""
    if _HIDDEN.fullmatch(value) or len(value) > MAX_LIST:
        return HIDDEN
    found: list[bytes] = []
    at = 0
    while at < len(value):
        match = _MAILBOX.match(value, at)
        address = _address(match[1] or match[2]) if match else None
        if match is None or address is None or len(found) == MAX_ADDRESSES:
            return HIDDEN
        found.append(address)
        at = match.end()
    return (b"," + _FOLD).join(found) or HIDDEN


def _address(text: bytes) -> bytes | None:
    try:
        Address.parse(text.decode("utf-8"))
    except (InvalidAddress, UnicodeDecodeError):
        return None
    return b"<" + text + b">"


def _date(value: bytes, _author: bytes) -> bytes | None:
    """The same moment in UTC: a zone says where somebody lives."""
    if _UTC.fullmatch(value):
        return value
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    try:
        moment = parsedate_to_datetime(match[1].decode("ascii"))
        return format_datetime(moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)).encode()
    except (ValueError, OverflowError):
        return None


def _id(value: bytes, _author: bytes) -> bytes | None:
    return value if _ONE_ID.fullmatch(value) else None


def _ids(value: bytes, _author: bytes) -> bytes | None:
    if len(value) > MAX_IDS or not _IDS.fullmatch(value):
        return None
    return _FOLD.join(_ONE_ID.findall(value)[-MAX_REFERENCES:])


def _content_type(value: bytes, _author: bytes) -> bytes | None:
    """Of the types that the gate lets out, without white space or case of anybody's choice."""
    try:
        content = ContentType.parse(value)
    except Malformed:
        return None
    parameters = content.parameters
    if content.media not in _TYPES or parameters.keys() - _PARAMETERS.keys():
        return None
    if not all(_PARAMETERS[name].fullmatch(text) for name, text in parameters.items()):
        return None
    if b"protocol" in parameters:
        parameters[b"protocol"] = parameters[b"protocol"].lower()
    written = (b";" + _FOLD).join(name + b'="' + text + b'"' for name, text in parameters.items())
    return content.media + (b"; " + written if written else b"")


def _autocrypt(value: bytes, author: bytes) -> bytes | None:
    """The author's own key (Autocrypt 1.1, 2.1), in lines of at most 77."""
    match = _AUTOCRYPT.fullmatch(value)
    if match is None or match[1].lower() != author.lower() or len(match[3]) > MAX_KEY:
        return None
    text = match[3].replace(b" ", b"").replace(b"\t", b"")
    try:
        key = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None
    if key[0] not in _KEY_PACKETS or binascii.b2a_base64(key, newline=False) != text:
        return None
    begin = b"addr=" + match[1] + b"; " + (match[2] + b" " if match[2] else b"")
    # A quantum of four is never split, or the padding could be.
    lines = [b"keydata=" + text[:68], *(text[at : at + 76] for at in range(68, len(text), 76))]
    return begin.rstrip() + _FOLD + _FOLD.join(lines)


FIELDS = {
    field.name.lower(): field
    for field in (
        Field(b"From", _from),
        Field(b"To", _addresses),
        Field(b"Cc", _addresses),
        Field(b"Date", _date),
        Field(b"Message-ID", _id),
        Field(b"In-Reply-To", _id),
        Field(b"References", _ids),
        Field(b"Subject", _always(b"[...]")),
        Field(b"MIME-Version", _always(b"1.0")),
        Field(b"Content-Type", _content_type),
        Field(b"Content-Transfer-Encoding", _one_of(b"7bit", b"8bit")),
        Field(b"Auto-Submitted", _one_of(b"no", b"auto-generated", b"auto-replied")),
        Field(b"Chat-Version", _matching(rb"[0-9]{1,2}\.[0-9]{1,2}")),
        Field(b"Chat-Is-Post-Message", _matching(rb"1")),
        Field(b"Autocrypt", _autocrypt),
        Field(b"Secure-Join", _one_of(b"vc-request", b"vg-request")),
        Field(b"Secure-Join-Invitenumber", _matching(rb"[A-Za-z0-9_-]{1,64}")),
    )
}
"""Every field that may leave, by its name in lower case."""
