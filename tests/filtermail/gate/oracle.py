"""The gate's oracle: an accepted outgoing message, rebuilt from the tokens that may be in it.

It reads a message a second time, whole and slowly, straight from RFC 5322, RFC 2045 and 2046, RFC
3156 and RFC 9580, and knows nothing of how the gate does it: no code is shared. What it recognises
it does not copy but makes anew, from what it understood: a delimiter from the boundary, armour
from the decoded packets, a packet from its fields. Joined, the tokens must be the message, octet
for octet. Whatever is not a token raises Unaccounted, which names it.

Free text is only where the headers of a message have it (a Date, a Message-ID, an Autocrypt key)
and in ciphertext. Everywhere else each token is one of a fixed set.
"""

import base64
import binascii
import contextlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

CRLF = b"\r\n"
EMPTY_LINES = 4
"""As many in a row are taken for what programs write; more would be a message of their own."""


class Unaccounted(AssertionError):
    """Something in an accepted message that is no token of the grammar."""


class Field(NamedTuple):
    """A header field: its name in lower case, its value unfolded."""

    name: bytes
    value: bytes
    raw: bytes


def tokens(content: bytes) -> list[bytes]:
    """The tokens of an outgoing message, in their order; raises Unaccounted."""
    _require(content.endswith(CRLF), "a last line without its end")
    lines = content.split(CRLF)[:-1]
    for line in lines:
        _require(not set(line) & set(b"\r\n\0"), f"a bare CR, LF or NUL: {line!r}")
    _require(b"" in lines, "a header block alone")
    end = lines.index(b"")
    fields = _fields(lines[:end])
    _check_singles(fields)
    made = [*(field.raw for field in fields), CRLF, *_body(fields, lines[end + 1 :])]
    rebuilt = b"".join(made)
    _require(rebuilt == content, f"{_difference(rebuilt, content)} is not what the tokens say")
    return made


def cleansed(content: bytes) -> bytes:
    """The header block that a relay lets out for this message (docs/headers.md), empty line too."""
    fields = _fields(content.partition(CRLF + CRLF)[0].split(CRLF))
    author = next(field.value for field in fields if field.name == b"from")
    author = re.sub(rb"[ \t]+\([^()]*\)\Z", b"", author.rpartition(b"<")[2].removesuffix(b">"))
    out: dict[bytes, bytes] = {}
    seen: set[bytes] = set()
    for field in fields:
        first = field.name not in seen
        seen.add(field.name)
        if first and (value := _left(field, author)) is not None:
            out[field.name] = _WRITTEN[field.name] + b": " + value + CRLF
    return b"".join(out.values()) + CRLF


_WRITTEN = {
    name.lower(): name
    for name in b"From To Cc Date Message-ID In-Reply-To References Subject MIME-Version "
    b"Content-Type Content-Transfer-Encoding Auto-Submitted Chat-Version Chat-Is-Post-Message "
    b"Autocrypt Secure-Join Secure-Join-Invitenumber".split()
}
"""The fields that may leave, as they are then written."""
_FIXED = {
    b"subject": b"[...]",
    b"mime-version": b"1.0",
}
_LISTED = {
    b"content-transfer-encoding": rb"(?i:7bit|8bit)",
    b"auto-submitted": rb"(?i:no|auto-generated|auto-replied)",
    b"chat-version": rb"[0-9][0-9]?[.][0-9][0-9]?",
    b"chat-is-post-message": rb"1",
    b"secure-join": rb"(?i:v[cg]-request)",
    b"secure-join-invitenumber": rb"[0-9A-Za-z_-]{1,64}",
}
_IDENTIFIER = rb"<(?:[!#-'*+/-9=?A-Z^-~.-]){1,200}@[][0-9A-Za-z._:-]{1,100}>"


def _left(field: Field, author: bytes) -> bytes | None:
    """What is left of a field's value when it leaves; None: nothing, and the field does not."""
    name, value = field.name, field.value
    if name in _FIXED:
        return _FIXED[name]
    if name in _LISTED:
        fits = re.fullmatch(_LISTED[name], value)
        # What has a case to choose has none afterwards.
        return (value.lower() if _LISTED[name].startswith(b"(?i:") else value) if fits else None
    if name == b"from":
        return b"<" + author + b">"
    if name == b"autocrypt":
        return _key(value, author)
    read = _READ.get(name)
    return read(value) if read else None


def _identifier(value: bytes) -> bytes | None:
    return value if re.fullmatch(_IDENTIFIER, value) else None


def _identifiers(value: bytes) -> bytes | None:
    apart = [one for one in re.split(rb"(?<=>)[ \t]*", value) if one]
    good = bool(apart) and len(value) <= 8192 and all(map(_identifier, apart))
    return (CRLF + b" ").join(apart[-10:]) if good else None


def _receivers(value: bytes) -> bytes:
    hidden = b'"hidden-recipients": ;'
    if len(value) > 16384:
        return hidden
    # Strings in quotes say nothing that leaves; what is in them must not be taken for anything.
    plain = re.sub(rb'"(?:[^"\\]|\\[ -~])*"', b"\0", value)
    addresses = []
    for one in re.sub(rb",\Z", b"", plain).split(b","):
        named = re.fullmatch(rb'[^<>,;:()@\\"]*<([^ \t<>()",;\0]+)>', one.strip(b" \t"))
        bare = re.fullmatch(rb'[^ \t<>()",;:\0]+', one.strip(b" \t"))
        address = named[1] if named else bare[0] if bare else b""
        if not _is_address(address):
            return hidden
        addresses.append(b"<" + address + b">")
    return (b"," + CRLF + b" ").join(addresses) if len(addresses) <= 100 else hidden


_ATOM = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f-\xa0]+'
_LABEL = r"[^\x00-,./:-@\[-^`{-\xa0]+"


def _is_address(octets: bytes) -> bool:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    local, _, domain = text.rpartition("@")
    short = len(octets) <= 254 and len(local.encode()) <= 64
    return short and re.fullmatch(rf"{_ATOM}(\.{_ATOM})*", local) is not None and _is_host(domain)


def _is_host(domain: str) -> bool:
    literal = re.fullmatch(r"\[((?i:ipv6):)?([0-9A-Fa-f.:]+)\]", domain)
    if literal:
        kind = ipaddress.IPv6Address if literal[1] else ipaddress.IPv4Address
        with contextlib.suppress(ValueError):
            return bool(str(kind(literal[2])))
        return False
    labels = domain.split(".")
    return all(
        re.fullmatch(_LABEL, label) and len(label) <= 63 and not label.startswith("-")
        and not label.endswith("-") for label in labels
    )  # fmt: skip


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAY = r"(?:mon|tue|wed|thu|fri|sat|sun), *"


def _moment(value: bytes) -> bytes | None:
    """A date in UTC (RFC 5322, 3.3)."""
    text = value.decode("latin-1")
    months = "|".join(_MONTHS)
    found = re.fullmatch(
        rf"(?i:(?:{_DAY})?([0-3]?\d) +({months}) +([12]\d\d\d) +"
        rf"([0-2]?\d):([0-5]\d)(?::([0-6]\d))? +([+-]\d{{4}}|GMT|UT)(?: *\([^()]{{0,60}}\))?)",
        text,
        re.ASCII,
    )
    if found is None:
        return None
    if re.fullmatch(
        r"[A-Z][a-z][a-z], [0-3]\d [A-Z][a-z][a-z] \d{4} [0-2]\d:\d\d:[0-5]\d \+0000",
        text,
        re.ASCII,
    ):
        return value
    day, month, year, hour, minute, second, zone = found.groups()
    sign, offset = (zone[0], zone[1:]) if zone[0] in "+-" else ("+", "0000")
    away = timedelta(hours=int(offset[:2]), minutes=int(offset[2:]))
    try:
        local = datetime(
            int(year), _MONTHS.index(month.lower()) + 1, int(day), int(hour), int(minute),
            int(second or 0), tzinfo=timezone(-away if sign == "-" else away),
        )  # fmt: skip
        return local.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").encode()
    except (ValueError, OverflowError):
        return None


def _type_again(value: bytes) -> bytes | None:
    try:
        media, parameters = _content_type(value)
    except Unaccounted:
        return None
    known = {
        b"protocol": rb"(?i:application/pgp-encrypted)", b"charset": rb"utf-8",
        b"format": rb"flowed", b"delsp": rb"no", b"boundary": rb"[0-9A-Za-z'()+,./:=?_-]{1,70}",
    }  # fmt: skip
    if media not in (b"multipart/encrypted", b"multipart/mixed", b"text/plain"):
        return None
    if not all(re.fullmatch(known.get(name, rb"(?!)"), text) for name, text in parameters.items()):
        return None
    written = [
        name + b'="' + (text.lower() if name == b"protocol" else text) + b'"'
        for name, text in parameters.items()
    ]
    return media + (b"; " + (b";" + CRLF + b" ").join(written) if written else b"")


def _key(value: bytes, author: bytes) -> bytes | None:
    """An Autocrypt header of the author's own (Autocrypt level 1, 2.1)."""
    attributes = [one.strip(b" \t") for one in value.split(b";")]
    given = dict(one.split(b"=", 1) for one in attributes if b"=" in one)
    names = [one.partition(b"=")[0] for one in attributes]
    if names not in ([b"addr", b"keydata"], [b"addr", b"prefer-encrypt", b"keydata"]):
        return None
    text = re.sub(rb"[ \t]", b"", given[b"keydata"])
    if given[b"addr"].lower() != author.lower() or len(given[b"keydata"]) > 32768:
        return None
    if given.get(b"prefer-encrypt", b"mutual") not in (b"mutual", b"nopreference"):
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    if base64.b64encode(key) != text or key[:1] not in (b"\xc6", b"\x98", b"\x99"):
        return None
    begin = b"; ".join(one for one in attributes[:-1]) + b";"
    lines = [b"keydata=" + text[:68], *(text[at : at + 76] for at in range(68, len(text), 76))]
    return begin + b"".join(CRLF + b" " + line for line in lines)


_READ: dict[bytes, Callable[[bytes], bytes | None]] = {
    b"to": _receivers,
    b"cc": _receivers,
    b"date": _moment,
    b"message-id": _identifier,
    b"in-reply-to": _identifier,
    b"references": _identifiers,
    b"content-type": _type_again,
}


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Unaccounted(what)


def _difference(rebuilt: bytes, content: bytes) -> str:
    at = next(
        (at for at, pair in enumerate(zip(rebuilt, content, strict=False)) if pair[0] != pair[1]),
        min(len(rebuilt), len(content)),
    )
    return f"{content[at : at + 60]!r} at {at}"


# Header fields (RFC 5322, 2.2).


def _fields(lines: list[bytes]) -> list[Field]:
    raw: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            _require(bool(raw), f"a continuation of nothing: {line!r}")
            raw[-1].append(line)
        else:
            raw.append([line])
    return [_one_field(folded) for folded in raw]


def _one_field(folded: list[bytes]) -> Field:
    name, colon, value = b"".join(folded).partition(b":")
    _require(colon == b":" and re.fullmatch(rb"[!-9;-~]+", name) is not None, f"no field: {name!r}")
    return Field(name.lower(), value.strip(b" \t"), b"".join(line + CRLF for line in folded))


def _check_singles(fields: list[Field]) -> None:
    """Headers over which two parsers could disagree are there once, or not at all."""
    for name in (b"from", b"content-type", b"content-transfer-encoding", b"mime-version"):
        count = sum(field.name == name for field in fields)
        _require(count <= 1, f"{count} fields {name!r}")
    _require(_value(fields, b"from") is not None, "no From")
    version = _value(fields, b"mime-version") or b"1.0"
    _require(re.fullmatch(rb"1\.0(?: *\([^()]*\))?", version) is not None, f"MIME {version!r}")
    encoding = (_value(fields, b"content-transfer-encoding") or b"7bit").lower()
    _require(encoding in (b"7bit", b"8bit"), f"an encoding: {encoding!r}")


def _value(fields: list[Field], name: bytes) -> bytes | None:
    """The value of the first field of that name, which decides about the message."""
    found = next((field for field in fields if field.name == name), None)
    if found is None:
        return None
    _require(len(found.raw) - len(name) - 1 <= 2000, f"a field {name!r} that is too long")
    return found.value


# Content-Type (RFC 2045, 5.1), without comments, continuations and quoted pairs.

_PARAMETER = rb'[ \t]*;[ \t]*([A-Za-z-]+)=(?:"([^"\\*\r\n]*)"|([^][ \t()<>@,;:\\"/?=*\r\n]+))'


def _content_type(value: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    media = re.match(rb"[A-Za-z-]+/[A-Za-z-]+", value)
    _require(media is not None, f"no media type: {value!r}")
    assert media is not None
    rest = re.sub(rb"[ \t]*;?[ \t]*\Z", b"", value[media.end() :])
    found = re.findall(_PARAMETER, rest)
    names = [name.lower() for name, _, _ in found]
    _require(len(set(names)) == len(names), f"a parameter twice: {value!r}")
    left = re.sub(_PARAMETER, b"", rest)
    _require(not left, f"in a Content-Type: {left!r}")
    return media[0].lower(), {name.lower(): quoted or bare for name, quoted, bare in found}


def _body(fields: list[Field], lines: list[bytes]) -> Iterator[bytes]:
    media, parameters = _content_type(_value(fields, b"content-type") or b"text/plain")
    if media == b"multipart/encrypted":
        _require(parameters.keys() == {b"boundary", b"protocol"}, f"parameters {parameters}")
        protocol = parameters[b"protocol"].lower()
        _require(protocol == b"application/pgp-encrypted", f"protocol {protocol!r}")
        yield from _multipart(lines, parameters[b"boundary"], [_version_part, _data_part])
        return
    kind = _value(fields, b"secure-join") or b""
    _require(kind in (b"vc-request", b"vg-request"), f"neither encrypted nor a request: {media!r}")
    invite = _value(fields, b"secure-join-invitenumber") or b""
    _require(re.fullmatch(rb"[\w-]{1,64}", invite, re.ASCII) is not None, f"invite {invite!r}")
    text = b"Secure-Join: " + kind + CRLF
    if media == b"multipart/mixed":
        _require(parameters.keys() == {b"boundary"}, f"parameters {parameters}")
        yield from _multipart(lines, parameters[b"boundary"], [lambda part: _join_part(part, text)])
    else:
        _require(media == b"text/plain", f"a request as {media!r}")
        known = {b"charset": b"utf-8", b"format": b"flowed", b"delsp": b"no"}
        _require(parameters.items() <= known.items(), f"parameters {parameters}")
        yield text
        yield from _empties(lines[1:])


# Multipart (RFC 2046, 5.1.1): a delimiter is known by how its line *begins*.


_SENTENCES = [
    [sentence]
    for sentence in (
        b"This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)",
        b"This is an OpenPGP/MIME encrypted message (RFC 2440 and 3156)",
        b"This is an OpenPGP/MIME encrypted message.",
        b"This is a MIME-encapsulated message.",
        b"This is a MIME-encapsulated message",
        b"This is a multi-part message in MIME format.",
        b"This is a multi-part message in MIME format",
    )
]
"""What programs write before the first part, for readers without OpenPGP."""


class _Part(NamedTuple):
    fields: list[Field]
    lines: list[bytes]


_Kind = Callable[[_Part], Iterator[bytes]]


def _multipart(lines: list[bytes], boundary: bytes, kinds: list[_Kind]) -> Iterator[bytes]:
    # No blanks: a boundary that is folded at one is read in two ways.
    pattern = rb"[\w'()+,./:=?-]{1,70}"
    _require(re.fullmatch(pattern, boundary, re.ASCII) is not None, f"boundary {boundary!r}")
    delimiter = b"--" + boundary
    at = [number for number, line in enumerate(lines) if line.startswith(delimiter)]
    _require(len(at) == len(kinds) + 1, f"{len(at)} delimiters for {len(kinds)} parts")
    before = lines[: at[0]]
    sentences = [line for line in before if line]
    if len(kinds) == 2 and sentences in _SENTENCES:
        where = before.index(sentences[0])
        yield from _empties(before[:where])
        yield sentences[0] + CRLF
        before = before[where + 1 :]
    yield from _empties(before)
    for kind, start, end in zip(kinds, at, at[1:], strict=False):
        yield delimiter + CRLF
        yield from kind(_part(lines[start + 1 : end]))
    yield delimiter + b"--" + CRLF
    yield from _empties(lines[at[-1] + 1 :])


def _part(lines: list[bytes]) -> _Part:
    _require(b"" in lines, "a part without a body")
    end = lines.index(b"")
    return _Part(_fields(lines[:end]), lines[end + 1 :])


def _empties(lines: list[bytes]) -> Iterator[bytes]:
    _require(len(lines) <= EMPTY_LINES, f"{len(lines)} lines where a few may be empty")
    for line in lines:
        _require(line == b"", f"text between the parts: {line!r}")
        yield CRLF


_CHARSETS = rb'; charset="?(?:utf-8|us-ascii)"?'
_FILES = rb'; (?:file)?name="?(?:encrypted|msg|message)\.(?:asc|pgp|gpg)"?'
_VERSION_FILES = rb'; (?:file)?name="?(?:version\.asc|pgpmime versions? identification)"?'


def _any_of(*parameters: bytes) -> bytes:
    """Each at most once, in any order; a semicolon may end them."""
    once = b"".join(rb"(?!(?:.*" + one + rb"){2})" for one in parameters)
    return once + rb"(?:" + b"|".join(parameters) + rb")*;?"


_ANY_PART = {b"content-transfer-encoding": rb"7bit|8bit", b"mime-version": rb"1\.0"}
# By field: what its value may be, in any case, white space taken for one blank.
_VERSION_FIELDS = _ANY_PART | {
    b"content-type": rb"application/pgp-encrypted" + _any_of(_CHARSETS, _VERSION_FILES),
    b"content-description": rb"pgp/mime versions? identification",
    b"content-disposition": rb"(?:inline|attachment)" + _any_of(_VERSION_FILES),
}
_DATA_FIELDS = _ANY_PART | {
    b"content-type": rb"application/octet-stream" + _any_of(_CHARSETS, _FILES),
    b"content-description": rb"openpgp encrypted message(?:\.asc)?|pgp/mime encrypted message|"
    rb"this is a digitally encrypted message part",
    b"content-disposition": rb"(?:inline|attachment)" + _any_of(_FILES),
}
_JOIN_FIELDS = _ANY_PART | {
    b"content-type": rb"text/plain(?:" + _CHARSETS + rb")?",
    b"message-id": _IDENTIFIER,
}
_BLANKS = re.compile(rb"[ \t]{0,8}\r\n[ \t]{1,8}|[ \t]{1,8}")


def _part_fields(fields: list[Field], allowed: dict[bytes, bytes]) -> Iterator[bytes]:
    names = [field.name for field in fields]
    _require(b"content-type" in names, f"a part of no type: {names}")
    _require(len(set(names)) == len(names), f"a part's header twice: {names}")
    for field in fields:
        value = allowed.get(field.name)
        _require(value is not None, f"in a part: {field.raw!r}")
        assert value is not None
        plain = _BLANKS.sub(b" ", field.raw.removesuffix(CRLF))
        fixed = re.fullmatch(rb"[a-z-]+: ?(?:" + value + rb")", _semicolons(plain), re.IGNORECASE)
        _require(fixed is not None, f"in a part: {field.raw!r}")
        yield field.raw
    yield CRLF


def _semicolons(field: bytes) -> bytes:
    """The blank after a semicolon is a matter of taste; a last semicolon is none."""
    return re.sub(rb"; ?(?=[a-z])", b"; ", field, flags=re.IGNORECASE)


def _version_part(part: _Part) -> Iterator[bytes]:
    yield from _part_fields(part.fields, _VERSION_FIELDS)
    yield b"Version: 1" + CRLF
    yield from _empties(part.lines[1:])


def _data_part(part: _Part) -> Iterator[bytes]:
    yield from _part_fields(part.fields, _DATA_FIELDS)
    end_line = b"-----END PGP MESSAGE-----"
    _require(end_line in part.lines, "no end of the armour")
    end = part.lines.index(end_line)
    yield from armour(part.lines[:end])
    yield end_line + CRLF
    yield from _empties(part.lines[end + 1 :])


def _join_part(part: _Part, text: bytes) -> Iterator[bytes]:
    yield from _part_fields(part.fields, _JOIN_FIELDS)
    yield text
    yield from _empties(part.lines[1:])


# Armour (RFC 9580, 6.2), its headers those that programs write by default.

_ARMOUR_HEADERS = (
    rb"Version: ProtonMail",
    rb"Version: GnuPG(/MacGPG2)? v[\d.]{1,8}( \((GNU/Linux|MingW32|Darwin)\))?",
    rb"Version: (OpenPGP[.]js|Mailvelope|FlowCrypt|BCPG) v?[\d.]{1,10}",
    rb"Comment: https://(protonmail|mailvelope|flowcrypt)[.]com",
    rb"Comment: https://(proton[.]me|openpgpjs[.]org)",
    rb"Comment: GPGTools - https?://gpgtools[.]org",
    rb"Comment: Using GnuPG with [A-Z][a-z]{1,12} - https?://www[.]enigmail[.]net/",
    rb"Charset: (utf|UTF)-8",
)


def armour(lines: list[bytes]) -> Iterator[bytes]:
    """Those of an armoured message before its END line; raises Unaccounted."""
    yield b"-----BEGIN PGP MESSAGE-----" + CRLF
    _require(b"" in lines, "armour without an empty line")
    empty = lines.index(b"")
    _require(1 <= empty < 9, f"{empty - 1} headers of the armour")
    for header in lines[1:empty]:
        _require(any(re.fullmatch(one, header) for one in _ARMOUR_HEADERS), f"{header!r}")
        yield header + CRLF
    yield CRLF
    data = lines[empty + 1 :]
    checksum = data.pop() if data and re.fullmatch(rb"=[A-Za-z0-9+/]{4}", data[-1]) else None
    yield from _rewrapped(data)
    if checksum is not None:
        yield checksum + CRLF


def _rewrapped(lines: list[bytes]) -> Iterator[bytes]:
    """The base64 of the packets that these lines hold, in lines of the same widths."""
    widths = [len(line) for line in lines]
    _require(all(0 < width <= 76 for width in widths), f"base64 lines of {set(widths)}")
    _require(all(width >= 16 for width in widths[:-1]), f"base64 lines of {set(widths)}")
    _require(b"=" not in b"".join(lines[:-1]), "padding before the last line")
    try:
        octets = base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error as error:
        raise Unaccounted(f"no base64: {error}") from None
    text = base64.b64encode(b"".join(packets(octets)))
    at = 0
    for width in widths:
        yield text[at : at + width] + CRLF
        at += width
    _require(at == len(text), "base64 that the lines do not hold")


# Packets (RFC 9580, 4.2, 5.1, 5.3, 5.13 and 10.3).


class _Packet(NamedTuple):
    tag: int
    headers: list[bytes]
    """The tag and the first length, then the length before each further chunk."""
    chunks: list[bytes]


def packets(octets: bytes) -> Iterator[bytes]:
    """Session keys, then one packet of encrypted data, each made anew; raises Unaccounted."""
    at, tag, unknown, keys = 0, 0, 0, 0
    counts = {1: 0, 3: 0}
    while True:
        _require(at < len(octets), "no encrypted data")
        packet = _packet(octets, at)
        tag = packet.tag
        if tag == 18:
            _check_seipd(packet)
        else:
            unknown += _check_session_key(packet)
            keys += len(packet.chunks[0])
            counts[tag] += 1
            _require(counts[1] <= 1024 and counts[3] <= 16, f"session keys: {counts}")
            _require(keys <= 1 << 20 and unknown <= 48 << 10, f"{keys} octets of session keys")
        made = b"".join(
            piece for pair in zip(packet.headers, packet.chunks, strict=True) for piece in pair
        )
        yield made
        at += len(made)
        if tag == 18:
            break
    _require(tag == 18 and at == len(octets), f"behind the encrypted data: {octets[at:]!r}")


def _packet(octets: bytes, at: int) -> _Packet:
    first = octets[at]
    _require(first & 0x80 != 0, f"no packet: {octets[at : at + 9]!r}")
    at += 1
    if not first & 0x40:
        _require(first & 3 != 3, "an indeterminate length")
        width = 1 << (first & 3)
        size = int.from_bytes(octets[at : at + width], "big")
        header = bytes([first]) + size.to_bytes(width, "big")
        return _Packet(first >> 2 & 15, [header], [_cut(octets, at + width, size)])
    headers, chunks, more, prefix = [], [], True, bytes([first])
    while more:
        length, size, more = _length(octets, at)
        at += len(length)
        headers.append(prefix + length)
        chunks.append(_cut(octets, at, size))
        at, prefix = at + size, b""
    return _Packet(first & 0x3F, headers, chunks)


def _length(octets: bytes, at: int) -> tuple[bytes, int, bool]:
    """A length's octets, what it says, and whether a further chunk follows."""
    head = _cut(octets, at, 1)[0]
    if head < 192:
        return bytes([head]), head, False
    if head < 224:
        size = ((head - 192) << 8) + _cut(octets, at + 1, 1)[0] + 192
        return bytes([((size - 192) >> 8) + 192, (size - 192) & 0xFF]), size, False
    if head < 255:
        return bytes([head]), 1 << (head & 31), True
    size = int.from_bytes(_cut(octets, at + 1, 4), "big")
    return b"\xff" + size.to_bytes(4, "big"), size, False


def _cut(octets: bytes, at: int, size: int) -> bytes:
    _require(at + size <= len(octets), f"{size} octets at {at} of {len(octets)}")
    return octets[at : at + size]


_SIZES = {
    # By algorithm: octets of what follows its number (RFC 9580, 5.1; draft-ietf-openpgp-pqc).
    1: (66, 1026), 2: (66, 1026), 8: (1088, 1800), 16: (132, 1028), 18: (59, 200),
    25: (57, 74), 26: (81, 98), 35: (1145, 1162), 36: (1649, 1666),
}  # fmt: skip
_MPI_LEAVES = {1: (0, 0), 2: (0, 0), 16: (66, 514), 18: (25, 65)}


def _check_session_key(packet: _Packet) -> int:
    """Octets of a session key whose algorithm nobody knows yet, 0 for another one."""
    _require(packet.tag in (1, 3), f"a packet of type {packet.tag}")
    _require(len(packet.chunks) == 1, f"a packet of type {packet.tag} of partial length")
    body = packet.chunks[0]
    if packet.tag == 3:
        _require(12 <= len(body) <= 160 and 4 <= body[0] < 10, f"SKESK: {body[:40]!r}")
        return 0
    _require(12 <= len(body) <= 2100 and 3 <= body[0] < 10, f"PKESK: {body[:40]!r}")
    before = 10
    if body[0] == 6:
        before = 3 + body[1]
        known = body[1] == 0 or body[1:3] in (b"\x15\x04", b"\x21\x06")
        _require(known and len(body) >= before, f"a fingerprint: {body[:40]!r}")
    algorithm, key = body[before - 1], body[before:]
    if body[0] not in (3, 6) or algorithm not in _SIZES:
        _require(40 <= len(key) <= 2048, f"a key of an unknown algorithm: {len(key)} octets")
        return len(body)
    least, most = _SIZES[algorithm]
    _require(least <= len(key) <= most, f"algorithm {algorithm}: {len(key)} octets")
    if algorithm in _MPI_LEAVES:
        number = -(-int.from_bytes(key[:2], "big") // 8)
        least, most = _MPI_LEAVES[algorithm]
        _require(least <= len(key) - 2 - number <= most, f"a number of {number} octets")
    return 0


def _check_seipd(packet: _Packet) -> None:
    body = b"".join(packet.chunks)
    _require(all(len(chunk) >= 512 for chunk in packet.chunks[:-1]), "a small chunk")
    least = {1: 1 + 8 + 2 + 22, 2: 4 + 32 + 16}.get(body[0] if body else 0)
    _require(least is not None and len(body) >= least, f"SEIPD: {body[:9]!r}, {len(body)} octets")
