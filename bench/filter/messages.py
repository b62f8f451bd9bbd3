"""Messages of any size as a Delta Chat core sends them, ready for the wire.

PGP/MIME with two anonymous session-key packets and one packet of encrypted data; the ciphertext is
random octets. Up to 418 kB that packet has a definite length; above, it has chunks of 512 KiB, as
core 2.65 writes it.
"""

import base64
import random
from datetime import UTC, datetime
from email.utils import format_datetime

SENDER = "bench12345@relay.example"
RECIPIENT = "mark567890@relay.example"
END = b".\r\n"
"""The end of DATA. A message ends in CRLF, and none of its lines begins with a dot."""

_WIDTH = 64
_DEFINITE_AT_MOST = 418_000
_CHUNK_BITS = 19
_BOUNDARY = "18ea460c9a49ff64_bd4bc519b6d3d618_42f32bea2e012f11"
_HEAD = f"""\
From: <{SENDER}>
Date: {format_datetime(datetime(2026, 11, 16, 12, 34, 14, tzinfo=UTC))}
Message-ID: <9ab6e790-7b29-4c2d-82a1-80f6424dbab9@localhost>
MIME-Version: 1.0
To: "hidden-recipients": ;
Subject: [...]
Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";
 boundary="{_BOUNDARY}"


--{_BOUNDARY}
Content-Type: application/pgp-encrypted; charset="utf-8"
Content-Transfer-Encoding: 7bit

Version: 1

--{_BOUNDARY}
Content-Type: application/octet-stream; charset="utf-8"
Content-Transfer-Encoding: 7bit

-----BEGIN PGP MESSAGE-----

"""
_TAIL = f"""\
=vJ9s
-----END PGP MESSAGE-----

--{_BOUNDARY}--
"""


def message(size: int, seed: int = 1) -> bytes:
    """Return a message of at most `size` octets, and little less; `END` must follow it.

    Raises ValueError if `size` is too small for a message of this form.
    """
    chance = random.Random(seed)  # noqa: S311 - stands for ciphertext, hides nothing
    keys = b"".join(_session_key(chance) for _ in range(2))
    head, tail = _crlf(_HEAD), _crlf(_TAIL)
    lines = (size - len(head) - len(tail)) // (_WIDTH + 2)
    # The headers of the packet and its chunks take some octets; they shorten the last line.
    room = lines * _WIDTH // 4 * 3 - len(keys) - 12 - (size >> _CHUNK_BITS)
    if room < 100:
        raise ValueError(f"no message of this form has only {size} octets")
    return head + _lines(keys + _encrypted_data(chance.randbytes(room))) + tail


def _crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("ascii")


def _session_key(chance: random.Random) -> bytes:
    """A PKESK of version 6 without a fingerprint, for X25519 (RFC 9580, 5.1.2)."""
    return bytes([0xC1, 71, 6, 0, 25]) + chance.randbytes(68)


def _encrypted_data(ciphertext: bytes) -> bytes:
    """A SEIPD of version 2: AES-128, OCB, chunk size octet 7 (RFC 9580, 5.13.2)."""
    body = b"\x02\x07\x02\x07" + ciphertext
    tag = bytes([0xC0 | 18])
    if len(body) <= _DEFINITE_AT_MOST:
        return tag + b"\xff" + len(body).to_bytes(4, "big") + body
    pieces, at = [tag], 0
    while len(body) - at > 1 << _CHUNK_BITS:
        pieces += [bytes([0xE0 | _CHUNK_BITS]), body[at : at + (1 << _CHUNK_BITS)]]
        at += 1 << _CHUNK_BITS
    return b"".join([*pieces, b"\xff", (len(body) - at).to_bytes(4, "big"), body[at:]])


def _lines(octets: bytes) -> bytes:
    text = base64.b64encode(octets)
    return b"".join(text[at : at + _WIDTH] + b"\r\n" for at in range(0, len(text), _WIDTH))
