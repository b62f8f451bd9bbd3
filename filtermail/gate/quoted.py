"""Armour that a mail server on the way has put into quoted-printable (RFC 2045, 6.7).

Some gateways encode every part they pass on. What the encoding decodes to has to be clean armour,
read by the same grammar; the encoding itself is held to its strict form, so that it cannot hide
anything: no line of more than 76 octets, no white space before a line's end, no octet that would
have to be encoded. Incoming only, and rare: this goes line by line.
"""

import binascii
import re

from filtermail.gate.armour import armour
from filtermail.gate.reader import Grammar, Machine, Reader
from filtermail.gate.verdict import NotEncrypted

_LINE = re.compile(rb"(?=.{0,76}\Z)(?:[!-<>-~ \t]|=[0-9A-F]{2})*+=?")


def quoted_armour(read: Reader, end: bytes) -> Grammar:
    """Quoted-printable that decodes to armour, up to and without the line `end`.

    Raises NotEncrypted.
    """
    inner = Reader()
    decoded = Machine(inner, _armour_and_empty_lines(inner))
    soft = False
    while (line := (yield from read.line())) != end:
        if not _LINE.fullmatch(line) or line[-1:] in (b" ", b"\t"):
            raise NotEncrypted("a line that is no quoted-printable")
        soft = line.endswith(b"=")
        text = binascii.a2b_qp(line.removesuffix(b"="))
        decoded.feed(text if soft else text + b"\r\n")
    if soft:
        raise NotEncrypted("quoted-printable that ends in the middle of a line")
    decoded.finish()
    # The delimiter is the caller's to see.
    read.buffer = end + b"\r\n" + read.buffer


def _armour_and_empty_lines(read: Reader) -> Grammar:
    yield from armour(read, strict=False)
    yield from read.only_empty("something after the PGP armour")
