"""Messages built by choices: right in most places, wrong in some, down to the packet.

Raw mutation does not get past base64: one octet changed in a packet changes its armour, one octet
changed in the armour is mostly just a bad character. So packets are chosen and then armoured, parts
are chosen and then put together, and what comes out is damaged at a few places.
"""

import base64

from tests.filtermail.gate.building import CONTENT_TYPE, DATA_HEADERS, HEADERS, VERSION_HEADERS
from tests.fuzz.choices import Choices

CRLF = b"\r\n"
TEXT = b"the secret in clear"
_SENTENCE = b"This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n"
_SPLICES = (
    TEXT + CRLF, CRLF, b"\r", b"\n", b"\0", b" ", b"=", b"-", b"--limes" + CRLF,
    b"--limes--" + CRLF,
    b"-----BEGIN PGP MESSAGE-----" + CRLF, b"-----END PGP MESSAGE-----" + CRLF, b"=AAAA" + CRLF,
    b"AAAA" + CRLF, b"\r\n.\r\n", b"..", b"\xc3\xbc", b"Content-Type: text/plain" + CRLF,
    b"Content-Transfer-Encoding: base64" + CRLF, b"From: <mallory@relay.example>" + CRLF,
    b"MIME-Version: 1.0" + CRLF, b" \r\n", b"\t", b";", b'"', b"(", b"\\", b"=20", b"=\r\n",
)  # fmt: skip
_PART_HEADERS = (
    b"", b"Content-Description: OpenPGP encrypted message" + CRLF,
    b'Content-Disposition: inline;\r\n\tfilename="encrypted.asc"' + CRLF,
    b"Content-Description: PGP/MIME version identification" + CRLF,
    b"Content-Disposition: attachment" + CRLF, b"MIME-Version: 1.0" + CRLF, b"X-Note: hi" + CRLF,
    b"Content-Transfer-Encoding: quoted-printable" + CRLF,
)  # fmt: skip


def message(choices: Choices) -> bytes:
    """A whole message; lines end in CRLF where nothing has damaged them."""
    content = b"".join([_header_block(choices), CRLF, body(choices)])
    return mutated(choices, content)


def _header_block(choices: Choices) -> bytes:
    content_type = choices.pick(
        [
            CONTENT_TYPE,
            CONTENT_TYPE.replace(b"limes", choices.pick([b"limes", b"-", b"---BEGIN PGP", b"a b"])),
            b"Content-Type: multipart/mixed; boundary=limes\r\n" + _joining(choices),
            b"Content-Type: text/plain\r\n" + _joining(choices),
            b"Content-type: Multipart/Encrypted ;protocol=application/pgp-encrypted\r\n"
            b"\t;boundary=limes\r\n",
            CONTENT_TYPE[:-2] + b"; charset=utf-8\r\n",
        ]
    )
    author = choices.pick(
        [b"", b"", b"From: <mallory@relay.example>\r\n", b"FROM: alice@relay.example\r\n"]
    )
    headers = author + HEADERS.partition(b"\r\n")[2] if author else HEADERS
    return (
        headers
        + content_type
        + choices.pick(
            [
                b"",
                b"",
                b"Content-Transfer-Encoding: base64\r\n",
                b"X-Note: hi\r\n",
                b"MIME-Version: 1.0\r\n",
            ]
        )
    )


def _joining(choices: Choices) -> bytes:
    kind = choices.pick([b"vc-request", b"vg-request", b"vc-auth-required"])
    return b"Secure-Join: " + kind + b"\r\nSecure-Join-Invitenumber: 76PjIxnL8XSx63z\r\n"


def body(choices: Choices) -> bytes:
    """A body, its boundary `limes`."""
    if choices.rarely():
        return _join_body(choices)
    return b"".join(
        [
            choices.pick([CRLF, b"", CRLF * 4, CRLF * 5, TEXT + CRLF, _SENTENCE]),
            b"--limes" + CRLF, VERSION_HEADERS, choices.pick(_PART_HEADERS), CRLF,
            choices.pick([b"Version: 1", b"Version: 2"]), CRLF, choices.pick([CRLF, b""]),
            b"--limes" + CRLF, DATA_HEADERS, choices.pick(_PART_HEADERS), CRLF,
            armour(choices),
            choices.pick([CRLF, b"", CRLF * 4, CRLF * 5]),
            choices.pick([b"--limes--", b"--limes", b"--limes--x"]), CRLF,
            choices.pick([b"", CRLF, CRLF * 4, CRLF * 5, TEXT + CRLF]),
        ]
    )  # fmt: skip


def _join_body(choices: Choices) -> bytes:
    text = b"Secure-Join: " + choices.pick([b"vc-request", b"vg-request"]) + CRLF
    if choices.rarely():
        return text
    head = b'--limes\r\nContent-Type: text/plain; charset="utf-8"\r\n\r\n'
    return head + text + choices.pick([b"", CRLF]) + b"--limes--\r\n"


def armour(choices: Choices) -> bytes:
    """Armour of chosen packets, from BEGIN to END."""
    text = base64.b64encode(packets(choices))
    return b"".join(
        [
            b"-----BEGIN PGP MESSAGE-----\r\n",
            choices.pick(
                [
                    b"",
                    b"Version: x\r\n",
                    b"Version: GnuPG v2\r\n",
                    b"Comment: y\r\nCharset: z\r\n",
                    b"Hash: x\r\n",
                ]
            ),
            choices.pick([CRLF, b"", CRLF * 2]),
            _wrapped(choices, text),
            choices.pick([b"=AAAA\r\n", b"", b"=AAA\r\n", b"=AAAA\r\n=AAAA\r\n"]),
            b"-----END PGP MESSAGE-----\r\n",
        ]
    )


def _wrapped(choices: Choices, text: bytes) -> bytes:
    width = choices.pick([64, 76, 16, 75, 60, 77, 15])
    ragged = choices.rarely()
    lines, at = [], 0
    while at < len(text):
        step = choices.pick([16, 76, choices.below(77) + 1]) if ragged else width
        lines.append(text[at : at + step] + CRLF)
        at += step
    return b"".join(lines)


def packets(choices: Choices) -> bytes:
    """Session keys and encrypted data, mostly."""
    out = b"".join(_session_key(choices) for _ in range(choices.pick([0, 1, 2, 3, 7])))
    out += _encrypted_data(choices)
    if choices.rarely():
        out += choices.pick([b"\0", packet(choices, 11, TEXT), _encrypted_data(choices)])
    return out[: len(out) - choices.below(300)] if choices.rarely() else out


def _session_key(choices: Choices) -> bytes:
    tag = choices.pick([1, 1, 3, 3, 60, 11])
    version = choices.pick([6, 3, 4, 5, 7, 2, 10])
    second = choices.pick([0, 0, 21, 33, 22])
    third = choices.pick([25, 4, 6, 5, 18, 99, 35])
    size = choices.pick([68, 90, 9, 1, 0, 253, 1150, 2097, 2098])
    if version == 3 and choices.below(2) == 0:
        # RSA, and the number that fills the packet, or does not.
        bits = 8 * size - 96 + choices.pick([0, 0, 7, 8])
        return (
            packet(
                choices,
                1,
                b"\3" + bytes(8) + b"\1" + max(bits, 0).to_bytes(2, "big") + bytes(size - 12),
            )
            if size > 12
            else b""
        )
    return packet(choices, tag, bytes([version, second, third]) + _filler(choices, size))


def _encrypted_data(choices: Choices) -> bytes:
    version = choices.pick([2, 1, 0, 3])
    size = choices.pick([400, 51, 50, 32, 31, 0, 511, 512, 1023, 2047])
    return packet(
        choices, choices.pick([18, 18, 18, 9, 20]), bytes([version]) + _filler(choices, size)
    )


def _filler(choices: Choices, size: int) -> bytes:
    """Octets of a body: short ones are chosen, the rest is one octet over and over."""
    return choices.octets(min(size, 4)).ljust(size, b"\xa5")


def packet(choices: Choices, tag: int, content: bytes) -> bytes:
    """A packet in one of the ways to write its header; the length may lie."""
    size = len(content) + (choices.below(9) - 4 if choices.rarely() else 0)
    size = max(size, 0)
    form = choices.pick(["five", "short", "partial", "legacy", "indeterminate"])
    if form == "partial":
        return bytes([0xC0 | tag]) + _chunks(choices, content)
    if form == "indeterminate" and choices.rarely():
        return bytes([0x83 | (tag & 15) << 2]) + content
    if form == "legacy" and tag < 16:
        width = choices.pick([2, 1, 4])
        lead = 0x80 | tag << 2 | {1: 0, 2: 1, 4: 2}[width]
        return bytes([lead]) + (size % (1 << 8 * width)).to_bytes(width, "big") + content
    return bytes([0xC0 | tag]) + (_length(size) if form == "short" else _five(size)) + content


def _five(size: int) -> bytes:
    return b"\xff" + size.to_bytes(4, "big")


def _length(size: int) -> bytes:
    if size < 192:
        return bytes([size])
    if size < 8384:
        return (size - 192 + (192 << 8)).to_bytes(2, "big")
    return _five(size)


def _chunks(choices: Choices, content: bytes) -> bytes:
    out, at = b"", 0
    for exponent in [
        choices.pick([9, 9, 8, 10]),
        *(choices.pick([9, 10, 9, 8, 0]) for _ in range(choices.below(5))),
    ]:
        if at + (1 << exponent) > len(content):
            break
        out += bytes([0xE0 | exponent]) + content[at : at + (1 << exponent)]
        at += 1 << exponent
    return out + _length(len(content) - at) + content[at:]


def mutated(choices: Choices, content: bytes) -> bytes:
    """The content with a few places damaged, mostly none."""
    for _ in range(choices.pick([0, 0, 0, 1, 1, 1, 2, 3, 5])):
        content = _damaged(choices, content)
    return content


def _damaged(choices: Choices, content: bytes) -> bytes:
    at = choices.below(len(content) + 1)
    kind = choices.below(7)
    if kind == 0:
        return content[:at] + choices.pick(_SPLICES) + content[at:]
    if kind == 1:
        return content[:at] + choices.octets(1) + content[at + 1 :]
    if kind == 2:
        return content[:at] + content[at + 1 + choices.below(80) :]
    if kind == 3 and at < len(content):
        return content[:at] + bytes([content[at] ^ 1 << choices.below(8)]) + content[at + 1 :]
    lines = content.splitlines(keepends=True)
    one, other = choices.below(len(lines) or 1), choices.below(len(lines) or 1)
    if kind == 4 and lines:
        lines.insert(one, lines[other])
    elif kind == 5 and lines:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines.insert(one, choices.pick(_SPLICES))
    return b"".join(lines)
