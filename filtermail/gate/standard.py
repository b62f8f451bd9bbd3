"""The short way for the standard message: what Delta Chat's cores write, recognised at one look.

A chat message is small, and all of its body is at hand when its header has been judged. The
grammar of `filtermail.gate.mime` then costs more for its generators than for the octets. So one
expression recognises the frame that cores write, C code looks over the base64 and decodes its
beginning, and one loop steps over the packets.

The rule: whatever is accepted here the grammar accepts too. Everything else is not refused but
left to the grammar, so this module needs to know no more forms than are frequent.
`tests/filtermail/gate/test_standard.py` and `tests/fuzz/fuzz_standard.py` hold the two against
each other.
"""

import binascii
import re

from filtermail.gate.armour import ALPHABET
from filtermail.gate.packets import SEIPD, SEIPD_SMALLEST
from filtermail.gate.reader import MAX_EMPTY
from filtermail.gate.sessionkeys import SessionKeys
from filtermail.gate.verdict import NotEncrypted

_EMPTY = rb"(?:\r\n){0,%d}" % MAX_EMPTY
_7BIT = rb"(?:Content-Transfer-Encoding: 7bit\r\n)?"
_FRAME = re.compile(
    _EMPTY + rb"--([^\r\n]{1,70})\r\n"
    rb'Content-Type: application/pgp-encrypted(?:; charset="utf-8")?\r\n'
    rb"(?:Content-Description: PGP/MIME version identification\r\n)?" + _7BIT + rb"\r\n"
    rb"Version: 1\r\n" + _EMPTY + rb"--\1\r\n"
    rb'Content-Type: application/octet-stream(?:; name="encrypted\.asc")?'
    rb'(?:; (?:\r\n\t)?charset="utf-8")?;?\r\n'
    rb"(?:Content-Description: OpenPGP encrypted message\r\n)?"
    rb'(?:Content-Disposition: inline; filename="encrypted\.asc";?\r\n)?' + _7BIT + rb"\r\n"
    rb"-----BEGIN PGP MESSAGE-----\r\n\r\n"
)  # fmt: skip
_END = b"-----END PGP MESSAGE-----\r\n"
_TAIL = re.compile(_END + _EMPTY + rb"--([^\r\n]{1,70})--\r\n" + _EMPTY)
_CHECKSUM = re.compile(rb"=[A-Za-z0-9+/]{4}\r\n")
_GLANCE = 4096
"""Octets of armour that are decoded: some thirty session keys."""
_WIDTHS = (64, 76)
"""Characters of a line as cores and GnuPG write them: a quantum is never split between lines."""


def standard_body(boundary: bytes, body: bytes) -> bool:
    """Return whether this whole body is a standard one; False means: ask the grammar."""
    frame = _FRAME.match(body)
    if frame is None or frame[1] != boundary:
        return False
    begin, end = frame.end(), body.find(_END, frame.end())
    tail = _TAIL.fullmatch(body, end) if end >= 0 else None
    if tail is None or tail[1] != boundary:
        return False
    if _CHECKSUM.fullmatch(body, end - 7, end):
        end -= 7
    total = _octets(body[begin:end])
    return total > 0 and _framed(_beginning(body[begin : min(begin + _GLANCE, end)]), total)


def _octets(data: bytes) -> int:
    """How many octets canonical base64 in lines of one width stands for; 0 if it is not that."""
    width = data.find(b"\r\n")
    if width not in _WIDTHS:
        return 0
    full, rest = divmod(len(data), width + 2)
    count = len(data) - 2 * (full + (rest > 0))
    padding = 2 if data.endswith(b"==\r\n") else 1 if data.endswith(b"=\r\n") else 0
    # A last line of two octets would be an empty one. Of what is no base64 there is as much as
    # line ends and padding are: they are where they should be, so it is nothing else.
    regular = (
        rest != 2
        and count % 4 == 0
        and data.endswith(b"\r\n")
        and data[width :: width + 2] == b"\r" * full
        and data[width + 1 :: width + 2] == b"\n" * full
        and len(data.translate(None, ALPHABET)) == len(data) - count + padding
    )
    if not regular:
        return 0
    # The bits that padding leaves over are zero.
    last = data[-6:-2]
    canonical = binascii.b2a_base64(binascii.a2b_base64(last), newline=False) == last
    return count // 4 * 3 - padding if canonical else 0


def _beginning(data: bytes) -> bytes:
    text = data.replace(b"\r\n", b"")
    return binascii.a2b_base64(text[: len(text) // 4 * 4])


def _framed(octets: bytes, total: int) -> bool:
    """Return whether this begins session keys and one encrypted packet, all of definite lengths.

    `total` is how many octets there are; of many session keys not all are at hand.
    """
    try:
        at = SessionKeys().step_over(octets, 0)
    except NotEncrypted:
        return False
    rest = total - at
    if len(octets) - at < 8 or octets[at] != 0xC0 | SEIPD:
        return False
    length = octets[at + 1]
    if length < 192:
        header = 2
    elif length < 224:
        header, length = 3, (length - 192 << 8) + octets[at + 2] + 192
    else:
        header, length = 6, int.from_bytes(octets[at + 2 : at + 6], "big")
        if octets[at + 1] != 255:
            return False
    return header + length == rest and length >= SEIPD_SMALLEST.get(octets[at + header], rest)
