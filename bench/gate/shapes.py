"""Messages that cost a gate much: each shape is honest but for one thing.

A shape is judged as mail from outside and as mail of this relay's users; the dearer one counts.
"""

import base64
import itertools
import random
import re
from collections.abc import Callable, Iterator

from bench.filter.messages import message

Shape = Callable[[int], bytes]
"""From octets, about, to a message without its final dot."""

_BEGIN = b"-----BEGIN PGP MESSAGE-----\r\n\r\n"
_END = b"-----END PGP MESSAGE-----\r\n"
_QUOTED = b"quoted-printable\r\n\r\n"
_KEYS = 1024


def _around(armour: bytes, *, quoted: bool = False) -> bytes:
    """An honest message with this in place of its armour; quoted, NUL stands for a bare "="."""
    honest = message(4096)
    head, tail = honest[: honest.index(_BEGIN)], honest[honest.index(_END) + len(_END) :]
    if quoted:
        head = head.removesuffix(b"7bit\r\n\r\n") + _QUOTED
        armour = armour.replace(b"=", b"=3D").replace(b"\0", b"=")
    return head + armour + tail


def _ciphertext(size: int) -> bytes:
    return b"\1" + random.Random(1).randbytes(size - 1)  # noqa: S311 - stands for ciphertext


def _data(size: int) -> bytes:
    return b"\xd2\xff" + size.to_bytes(4, "big") + _ciphertext(size)


def _wrapped(octets: bytes, *widths: int) -> bytes:
    """Base64 in lines of these widths in turn."""
    text, lines, at = base64.b64encode(octets), [], 0
    for width in itertools.cycle(widths):
        if at >= len(text):
            break
        lines.append(text[at : at + width] + b"\r\n")
        at += width
    return _BEGIN + b"".join(lines)


def _lines(*widths: int, quoted: bool = False) -> Shape:
    """Armour in lines of these widths in turn."""
    part = sum(widths) / (sum(widths) + 2 * len(widths)) * 0.75
    return lambda size: _around(_wrapped(_data(int(size * part)), *widths) + _END, quoted=quoted)


def _chunks(size: int) -> bytes:
    rest = (b"\xe9" + b"\1" * 512) * (size // 700)
    return _around(_wrapped(b"\xd2" + rest + b"\x64" + b"\1" * 100, 64) + _END)


def _keys(keys: Iterator[bytes], most: int = _KEYS) -> Shape:
    """Session keys before little data."""
    octets = b"".join(itertools.islice(keys, most))
    return lambda _size: _around(_wrapped(octets + _data(100), 64) + b"=AAAA\r\n" + _END)


def _key(beginning: bytes, size: int) -> Iterator[bytes]:
    """Packets whose header and first octets are these, with so many octets behind them."""
    return itertools.repeat(beginning + b"\1" * size)


def _ecdh() -> Iterator[bytes]:
    """Keys for ECDH, no two of the same form."""
    for point, wrapped, bit in itertools.product(range(32, 133), range(25, 66), range(8)):
        body = b"\3" + bytes(9) + (8 * point - bit).to_bytes(2, "big") + b"\1" * (point + wrapped)
        body = body[:9] + b"\x12" + body[10:]
        length = len(body)
        head = bytes([length]) if length < 192 else bytes([192, length - 192])
        yield b"\xc1" + head + body


def _soft(full: int, rest: int) -> Shape:
    """Quoted-printable whose lines are broken softly after `full` octets; `rest` remain of each."""

    def shape(size: int) -> bytes:
        width = full + rest
        lines = _wrapped(_data(size * width * 3 // 4 // (width + 5)), width).removeprefix(_BEGIN)
        broken = re.sub(rb"(?m)^(.{%d})(?=[^\r])" % full, b"\\1\0\r\n", lines)
        return _around(_BEGIN + broken + _END, quoted=True)

    return shape


def _after(block: bytes, *, repeated: bytes = b"", times: int = 1) -> Shape:
    """Header fields before an honest message of little else."""
    return lambda _size: block + repeated * times + b"\r\n" * bool(repeated) + message(1536)


def _replaced(field: bytes, value: bytes) -> Shape:
    """An honest message of little else with this in place of a field's value."""

    def shape(_size: int) -> bytes:
        before, _, rest = message(1536).partition(field + b": ")
        return before + field + b": " + value + rest[rest.index(b"\r\n") :]

    return shape


def report(size: int) -> bytes:
    """A delivery report whose explanation is empty lines."""
    parts = [
        b"\r\nContent-Type: text/plain\r\n\r\n" + b"\r\n" * (min(size, 128_000) // 2 - 300),
        b"\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n",
    ]
    return (
        b"From: <mailer-daemon@b.example>\r\nAuto-Submitted: auto-replied\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b"
        + b"\r\n--b".join(parts) + b"\r\n--b--\r\n"
    )  # fmt: skip


SHAPES: dict[str, Shape] = {
    "lines of one": _lines(1),
    "lines of 16": _lines(16),
    "lines of 16 and 17": _lines(16, 17),
    "lines of 76 and 75": _lines(76, 75),
    "empty lines": lambda size: _around(_BEGIN + b"\r\n" * (size // 2)),
    "chunks of 512": _chunks,
    "X25519 keys": _keys(_key(b"\xc1\x47\6\0\x19", 68)),
    "X25519 keys, least": _keys(_key(b"\xc1\x3c\6\0\x19", 57)),
    "X25519 keys, v3": _keys(_key(b"\x84\x51\3" + b"k" * 8 + b"\x19", 71)),
    "X25519 keys, long header": _keys(_key(b"\xc1\xff\0\0\0\x47\6\0\x19", 68)),
    "ECDH keys, no two alike": _keys(_ecdh()),
    "RSA keys of 512 bits": _keys(_key(b"\x84\x4c\3" + b"k" * 8 + b"\1\2\0", 64)),
    "unknown keys": _keys(_key(b"\xc1\x2b\6\0\x63", 40), 1000),
    "quoted-printable": _lines(64, quoted=True),
    "quoted, lines of one": _lines(1, quoted=True),
    "quoted, lines of 16": _lines(16, quoted=True),
    "quoted, lines of 76": _soft(75, 1),
    "quoted, soft ends at 60": _soft(60, 1),
    "quoted, soft ends alone": lambda size: _around(_BEGIN + b"\0\r\n" * (size // 3), quoted=True),
    "quoted, all escaped": lambda size: _around(
        _BEGIN + (b"\x0041" * 16 + b"\r\n") * (size // 50), quoted=True
    ),
    "500 fields of a letter": _after(b"a:\r\n" * 490),
    "500 fields that may leave": _after(b"cc:\r\n" * 490),
    "folds of a letter": _after(b"X: a", repeated=b"\r\n a", times=1900),
    "folds of To": _after(b"To: a@b.example", repeated=b",\r\n a@b.example", times=1900),
    "a long field": _after(b"X: a", repeated=b"\r\n " + b"a" * 990, times=126),
    "long names": _after((b"a" * 990 + b":\r\n") * 126),
    "From of many strings": _replaced(b"From", b'"" ' * 300 + b"<bench12345@relay.example>"),
    "To of 99": _replaced(b"To", b",".join(b"%d@b" % n for n in range(99))),
    "To of 99 literals": _replaced(b"To", b",\r\n ".join(b"%d@[1.2.3.4]" % n for n in range(99))),
    "References of many": _replaced(b"To", b"a@b\r\nReferences: " + b"<a@b>" * 190),
    "many parameters": _replaced(
        b"Content-Type", b"multipart/encrypted" + b"".join(b";%d=x" % n for n in range(99))
    ),
    "a delivery report": report,
}
"""What an attack on the gate has found, or could."""
