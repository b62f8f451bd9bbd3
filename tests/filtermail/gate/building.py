"""Messages made piece by piece, so that a test can replace any one piece."""

import base64
import random

from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Refusal
from relay.address import Address
from relay.smtp.datastream import stuff
from relay.smtp.reply import Reply

SENDER = "alice@relay.example"
LIMIT = 31457280


def octets(count: int, seed: int = 1) -> bytes:
    """Reproducible octets that look like ciphertext."""
    return random.Random(seed).randbytes(count)


def packet(tag: int, body: bytes) -> bytes:
    """A packet in the OpenPGP format with a length of five octets."""
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body


def pkesk(version: int = 3, size: int = 94) -> bytes:
    """A public-key encrypted session key, anonymous; v3 for RSA, so that PGPy reads it."""
    if version == 3:
        number = b"\xff" + octets(size - 13)
        return packet(
            1, b"\x03" + bytes(8) + b"\x01" + (8 * len(number)).to_bytes(2, "big") + number
        )
    algorithm = 25 if size < 78 else 35 if size > 1000 else 18
    # ECDH begins with a number, a point on Curve25519 here.
    point = b"\x01\x07\x40" if algorithm == 18 else b""
    return packet(1, bytes([version, 0, algorithm]) + point + octets(size - 3 - len(point)))


def skesk(version: int = 6) -> bytes:
    """A passphrase encrypted session key."""
    return packet(3, bytes([version]) + octets(60))


def seipd(version: int = 2, size: int = 400, seed: int = 1) -> bytes:
    """A packet of encrypted data of definite length."""
    return packet(18, seipd_body(version, size, seed))


def seipd_body(version: int = 2, size: int = 400, seed: int = 1) -> bytes:
    return (b"\x02\x07\x02\x06" if version == 2 else b"\x01") + octets(size, seed)


def partial_seipd(*chunks: int, last: int = 100) -> bytes:
    """Encrypted data in chunks of 2**n octets each, and a last one of a definite length."""
    body = seipd_body(2, sum(1 << chunk for chunk in chunks) + last - 4)
    out, at = bytes([0xC0 | 18]), 0
    for chunk in chunks:
        out += bytes([0xE0 | chunk]) + body[at : at + (1 << chunk)]
        at += 1 << chunk
    return out + bytes([last]) + body[at:]


def armoured(
    packets: bytes,
    *,
    width: int = 64,
    headers: bytes = b"",
    checksum: bytes = b"=vJ9s\r\n",
) -> bytes:
    """Packets in armour, every line with its CRLF."""
    text = base64.b64encode(packets)
    lines = b"".join(text[at : at + width] + b"\r\n" for at in range(0, len(text), width))
    begin, end = b"-----BEGIN PGP MESSAGE-----\r\n", b"-----END PGP MESSAGE-----\r\n"
    return begin + headers + b"\r\n" + lines + checksum + end


HEADERS = (
    b"From: <alice@relay.example>\r\n"
    b"Date: Mon, 16 Nov 2026 12:34:14 +0000\r\n"
    b"Message-ID: <c7899f36@localhost>\r\n"
    b"MIME-Version: 1.0\r\n"
    b'To: "hidden-recipients": ;\r\n'
    b"Subject: [...]\r\n"
)
CONTENT_TYPE = (
    b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n'
    b' boundary="limes"\r\n'
)
VERSION_HEADERS = (
    b'Content-Type: application/pgp-encrypted; charset="utf-8"\r\n'
    b"Content-Transfer-Encoding: 7bit\r\n"
)
DATA_HEADERS = (
    b'Content-Type: application/octet-stream; charset="utf-8"\r\n'
    b"Content-Transfer-Encoding: 7bit\r\n"
)
ARMOUR = armoured(pkesk() + pkesk(6) + seipd())


def message(
    *,
    headers: bytes = HEADERS,
    content_type: bytes = CONTENT_TYPE,
    preamble: bytes = b"\r\n",
    version_headers: bytes = VERSION_HEADERS,
    version: bytes = b"Version: 1\r\n\r\n",
    data_headers: bytes = DATA_HEADERS,
    armour: bytes = ARMOUR,
    closing: bytes = b"\r\n--limes--\r\n",
    epilogue: bytes = b"",
) -> bytes:
    """A PGP/MIME message as a core of today sends it, but for what is given."""
    return b"".join(
        [
            headers, content_type, b"\r\n", preamble,
            b"--limes\r\n", version_headers, b"\r\n", version,
            b"--limes\r\n", data_headers, b"\r\n", armour, closing, epilogue,
        ]
    )  # fmt: skip


def bounce(explanation: bytes = b"It could not be delivered.\r\n") -> bytes:
    """A delivery report as Postfix sends it, but for its explanation."""
    return (
        b"From: Mail Delivery System <MAILER-DAEMON@mx.example>\r\nTo: alice@relay.example\r\n"
        b"Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\n"
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n" + explanation
        + b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns; mx.example\r\n\r\n"
        b"Final-Recipient: rfc822; nobody@mx.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: alice@relay.example\r\n--b--\r\n"
    )  # fmt: skip


def judge(
    content: bytes,
    *,
    direction: Direction = Direction.OUTGOING,
    sender: str = SENDER,
    recipients: tuple[str, ...] = (),
    step: int = 0,
    limit: int = LIMIT,
) -> tuple[Reply | None, bytes]:
    """The refusal of a message or None, and what went on; its wire form is fed in `step`s."""
    envelope = Envelope(
        Address.parse(sender) if sender else None, tuple(map(Address.parse, recipients))
    )
    judged = Trial(envelope, direction, limit)
    wire = stuff(content) + b".\r\n"
    out, refusal = b"", None
    for at in range(0, len(wire), step or len(wire)):
        try:
            out += judged.feed(wire[at : at + (step or len(wire))])
        except Refusal as error:
            assert refusal is None, "a message is refused once"
            refusal = error.reply
    assert judged.ended
    assert judged.rest == b""
    return refusal, out
