"""The bodies that may pass, as grammars (RFC 3156, 4; RFC 2046, 5.1).

An encrypted message, where [..] is what only incoming mail may have:

    empty lines, or a known sentence that explains OpenPGP
    --BOUNDARY
    Content-Type: application/pgp-encrypted      and the fields of _VERSION_PART
    (empty)
    Version: 1
    --BOUNDARY
    Content-Type: application/octet-stream       and the fields of _DATA_PART
    (empty)
    armour, [in quoted-printable]                see filtermail.gate.armour
    --BOUNDARY--

with up to a few empty lines before a delimiter and at the end. A request to join by invitation
(legacy securejoin) is one text/plain part that repeats one header, alone or in a multipart/mixed.
"""

import re
from collections.abc import Generator

from filtermail.gate.armour import armour, quoted_armour
from filtermail.gate.outgoing import MESSAGE_ID
from filtermail.gate.reader import MAX_EMPTY, Grammar, Reader
from filtermail.gate.verdict import NotEncrypted

MAX_FIELD = 200
"""Octets of a header field of a part, its white space included."""

# Enigmail, Thunderbird, Mailvelope; GPGTools and older ones; mailing lists' software.
_PREAMBLES = frozenset(
    {
        b"This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)",
        b"This is an OpenPGP/MIME encrypted message (RFC 2440 and 3156)",
        b"This is an OpenPGP/MIME encrypted message.",
        b"This is a MIME-encapsulated message.",
        b"This is a MIME-encapsulated message",
        b"This is a multi-part message in MIME format.",
        b"This is a multi-part message in MIME format",
    }
)
_CHARSET = rb'; ?charset="?(?:utf-8|us-ascii)"?'
_FILE = rb'; ?(?:file)?name="?(?:encrypted|msg|message)\.(?:asc|pgp|gpg)"?'
_VERSION_FILE = rb'; ?(?:file)?name="?(?:version\.asc|pgpmime versions? identification)"?'


def _either(one: bytes, other: bytes) -> bytes:
    """Parameters, each once or not at all, in either order."""
    return rb"(?:" + one + rb"(?:" + other + rb")?|" + other + rb"(?:" + one + rb")?)?;?"


_COMMON = rb"content-transfer-encoding: ?(?:7bit|8bit)|mime-version: ?1\.0"
_DISPOSITION = rb"content-disposition: ?(?:inline|attachment)"
# Incoming also: gateways encode parts, and Evolution describes them in its user's language.
_QUOTED = re.compile(rb"content-transfer-encoding: ?quoted-printable", re.IGNORECASE)
_DESCRIBED = re.compile(rb"content-description: ?[ -~\x80-\xff]{1,150}", re.IGNORECASE)
# Each field of a part, unfolded, in any case: whole, so that none can say anything of its own.
_VERSION_PART = re.compile(
    rb"(content-type: ?application/pgp-encrypted" + _either(_CHARSET, _VERSION_FILE) + rb")|"
    rb"content-description: ?pgp/mime versions? identification|"
    + _DISPOSITION + rb"(?:" + _VERSION_FILE + rb")?;?|" + _COMMON,
    re.IGNORECASE,
)  # fmt: skip
_DATA_PART = re.compile(
    rb"(content-type: ?application/octet-stream" + _either(_CHARSET, _FILE) + rb")|"
    rb"content-description: ?(?:openpgp encrypted message(?:\.asc)?|pgp/mime encrypted message|"
    rb"this is a digitally encrypted message part)|"
    + _DISPOSITION + rb"(?:" + _FILE + rb")?;?|" + _COMMON,
    re.IGNORECASE,
)  # fmt: skip
# Cores up to 2.5x repeat the message's id here.
_TEXT_PART = re.compile(
    rb"(content-type: ?text/plain(?:" + _CHARSET + rb")?)|message-id: ?" + MESSAGE_ID + rb"|"
    + _COMMON,
    re.IGNORECASE,
)  # fmt: skip


def encrypted(read: Reader, boundary: bytes, *, strict: bool) -> Grammar:
    """The body of a PGP/MIME message; raises NotEncrypted."""
    delimiter = b"--" + boundary
    line = yield from _after_empty(read)
    if line in _PREAMBLES:
        line = yield from _after_empty(read)
    _expect(line, delimiter, "text before the first part")
    yield from _part_headers(
        read, _VERSION_PART, "the first part is not application/pgp-encrypted", strict=strict
    )
    line = yield from read.line()
    _expect(line, b"Version: 1", "the first part is not 'Version: 1'")
    line = yield from _after_empty(read)
    _expect(line, delimiter, "text in or after the first part")
    quoted = yield from _part_headers(
        read, _DATA_PART, "the second part is not application/octet-stream", strict=strict
    )
    if quoted:
        yield from quoted_armour(read, delimiter + b"--")
    else:
        yield from armour(read, strict=strict)
    yield from _close(read, delimiter)


def join_request(read: Reader, kind: bytes, boundary: bytes | None) -> Grammar:
    """The body of a legacy securejoin request of that kind; raises NotEncrypted."""
    expected = b"Secure-Join: " + kind
    if boundary is None:
        line = yield from read.line()
        _expect(line, expected, "a securejoin request with more than its text")
        yield from read.only_empty("text after the last part")
        return
    delimiter = b"--" + boundary
    line = yield from _after_empty(read)
    _expect(line, delimiter, "text before the first part")
    yield from _part_headers(
        read, _TEXT_PART, "a securejoin request that is not text/plain", strict=True
    )
    line = yield from read.line()
    _expect(line, expected, "a securejoin request with more than its text")
    yield from _close(read, delimiter)


def _part_headers(
    read: Reader, allowed: re.Pattern[bytes], fault: str, *, strict: bool
) -> Generator[None, None, bool]:
    """A part's header fields, each at most once, the Content-Type (group 1) among them.

    Return whether the part is in quoted-printable.
    """
    seen: set[bytes] = set()
    has_type = quoted = False
    while field := (yield from _field(read)):
        match = allowed.fullmatch(field)
        encoded = not strict and match is None and _QUOTED.fullmatch(field) is not None
        described = not strict and match is None and _DESCRIBED.fullmatch(field) is not None
        name = field.partition(b":")[0].lower()
        if not (match or encoded or described) or name in seen:
            raise NotEncrypted(fault if name == b"content-type" else "a header of a part")
        seen.add(name)
        has_type = has_type or (match is not None and match[1] is not None)
        quoted = quoted or encoded
    if not has_type:
        raise NotEncrypted(fault)
    return quoted


def _field(read: Reader) -> Generator[None, None, bytes]:
    """One field, unfolded, its white space single; empty at the end of the fields."""
    field = yield from read.line()
    while field:
        if not read.buffer:
            yield from read.more()
        if read.buffer[:1] not in (b" ", b"\t"):
            break
        more = yield from read.line()
        if not more.strip(b" \t") or len(field) > MAX_FIELD:
            raise NotEncrypted("a header of a part")
        field += more
    if len(field) > MAX_FIELD:
        raise NotEncrypted("a header of a part")
    return re.sub(rb"[ \t]+", b" ", field)


def _after_empty(read: Reader) -> Generator[None, None, bytes]:
    """The next line that is not empty, after a few that may be."""
    for _ in range(MAX_EMPTY + 1):
        line = yield from read.line()
        if line:
            return line
    raise NotEncrypted("too many empty lines")


def _close(read: Reader, delimiter: bytes) -> Grammar:
    line = yield from _after_empty(read)
    _expect(line, delimiter + b"--", "something after the encrypted data")
    yield from read.only_empty("text after the last part")


def _expect(line: bytes, expected: bytes, fault: str) -> None:
    if line != expected:
        raise NotEncrypted(fault)
