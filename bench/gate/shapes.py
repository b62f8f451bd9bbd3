"""Incoming messages that cost a gate much: each shape is honest but for one thing."""

import base64
import random
from collections.abc import Callable

from bench.filter.messages import message

Shape = Callable[[int], bytes]
"""From octets, about, to a message without its final dot."""

_BEGIN = b"-----BEGIN PGP MESSAGE-----\r\n\r\n"
_END = b"-----END PGP MESSAGE-----\r\n"
_QUOTED = b"quoted-printable\r\n\r\n"


def _around(armour: bytes, *, quoted: bool = False) -> bytes:
    """An honest message with this in place of its armour."""
    honest = message(4096)
    head, tail = honest[: honest.index(_BEGIN)], honest[honest.index(_END) + len(_END) :]
    if quoted:
        head = head.removesuffix(b"7bit\r\n\r\n") + _QUOTED
        armour = armour.replace(b"=\r\n", b"\0").replace(b"=", b"=3D").replace(b"\0", b"=\r\n")
    return head + armour + tail


def _armoured(packets: bytes, width: int = 64) -> bytes:
    text = base64.b64encode(packets + b"\xd2\xff\0\0\0\x64" + b"\1" * 100)
    lines = (text[at : at + width] + b"\r\n" for at in range(0, len(text), width))
    return _BEGIN + b"".join(lines) + b"=AAAA\r\n" + _END


def _ciphertext(size: int) -> bytes:
    return b"\1" + random.Random(1).randbytes(size - 1)  # noqa: S311 - stands for ciphertext


def _data(size: int) -> bytes:
    return b"\xd2\xff" + size.to_bytes(4, "big") + _ciphertext(size)


def _lines(octets: bytes, width: int) -> bytes:
    text = base64.b64encode(octets)
    return _BEGIN + b"".join(text[at : at + width] + b"\r\n" for at in range(0, len(text), width))


def _chunks(size: int) -> bytes:
    rest = (b"\xe9" + b"\1" * 512) * (size // 700)
    return _lines(b"\xd2" + rest + b"\x64" + b"\1" * 100, 64) + _END


def _keys(key: bytes, most: int) -> Shape:
    return lambda size: _around(_armoured(key * min(size * 3 // 4 // len(key), most)))


SHAPES: dict[str, Shape] = {
    "lines of one": lambda size: _around(_lines(_data(size // 4), 1) + _END),
    "lines of three": lambda size: _around(_lines(_data(size * 3 // 7), 3) + _END),
    "chunks of 512": lambda size: _around(_chunks(size)),
    "5,000 session keys": _keys(b"\xc1\x47\6\0\x19" + b"\1" * 68, 5000),
    "5,000 of the legacy format": _keys(b"\x84\x47\6\0\x19" + b"\1" * 68, 5000),
    "unknown session keys": _keys(b"\xc1\x2b\6\0\x63" + b"\1" * 40, 1100),
    "quoted-printable": lambda size: _around(_lines(_data(size * 3 // 4), 64) + _END, quoted=True),
    "quoted, lines of one": lambda size: _around(_lines(_data(size // 4), 1) + _END, quoted=True),
    "quoted, soft ends": lambda size: _around(_BEGIN + b"=\r\n" * (size // 3), quoted=True),
    "quoted, all escaped": lambda size: _around(
        _BEGIN + (b"=41" * 24 + b"\r\n") * (size // 74), quoted=True
    ),
    "empty fields": lambda size: b"a:\r\n" * min(size // 4, 60_000) + message(4096),
    "long folded fields": lambda size: (
        b"To: a@b.example" + b",\r\n a@b.example" * min(size // 15, 4900) + b"\r\n" + message(4096)
    ),
}
"""What an attack on the gate has found, or could."""
