"""ASCII armour, strictly: what stands between BEGIN and END is base64 of packets, and no more.

Theory of operation. This is where the bytes are: thirty megabytes of it must cost about one
pass of C-speed scanning. So lines are never looped over. A block of whole lines is checked at
once: if all have the width of the first (armour has), two strided slices show that every CR and
LF is where it should be, and one `translate` shows that nothing but base64 is between; anything
else goes through a regular expression with the same meaning. Base64 is decoded only where the
packet walker wants to see octets; while it passes over ciphertext, octets are only counted.

Grammar (RFC 9580, 6.2): BEGIN line, armour headers (outgoing, known ones), an empty line, lines of
1 to 76 base64 characters, the last with its padding, a checksum line or none, END line. The
checksum's value is not held against the data: RFC 9580, 6.1, forbids to refuse on it.

Some gateways put every part that they pass on into quoted-printable (RFC 2045, 6.7). What that
decodes to has to be clean armour, read by the same grammar; the encoding is held to its strict
form, so that it cannot hide anything: no line of more than 76 octets, no white space before a
line's end, no octet that would have to be encoded. It is decoded in blocks as well: a line may be
one octet.
"""

import binascii
import re
from collections.abc import Generator

from filtermail.gate.packets import PacketWalker
from filtermail.gate.reader import Grammar, Machine, Reader
from filtermail.gate.verdict import NotEncrypted

BEGIN = b"-----BEGIN PGP MESSAGE-----"
END = b"-----END PGP MESSAGE-----"
MAX_WIDTH = 76
"""Characters of a line (RFC 9580, 6.2; RFC 2045, 6.8)."""
MAX_HEADERS = 8

_NO_BASE64 = "something in the PGP armour that is not base64"
_NO_QUOTED = "a line that is no quoted-printable"
_GLANCE = 4096
"""Characters that are decoded at a time, to find a packet's header among them."""
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LINES = re.compile(rb"(?:[A-Za-z0-9+/]{1,76}+\r\n)*+")
_PADDED = re.compile(rb"([A-Za-z0-9+/]{0,75})(={1,2})")
_QUOTED_OCTETS = bytes(range(33, 127)) + b" \t\r\n"
_ESCAPES = re.compile(rb"(?:[^=]++|=(?:[0-9A-F]{2}|\r\n))*+")
_QUOTED_LINES = re.compile(
    rb"(?:(?=[^\r\n]{0,76}\r\n)(?:[!-<>-~ \t]++|=[0-9A-F]{2})*+=?(?<![ \t])\r\n)*+"
)
_CHECKSUM = re.compile(rb"=[A-Za-z0-9+/]{4}")
# What programs write by default, which says nothing about a person: may go out too.
_KNOWN_HEADER = re.compile(
    rb"Version: (?:ProtonMail|GnuPG(?:/MacGPG2)? v[0-9.]{1,8}(?: \((?:GNU/Linux|MingW32|Darwin)\))?"
    rb"|(?:OpenPGP\.js|Mailvelope|FlowCrypt|BCPG) v?[0-9.]{1,10})"
    rb"|Comment: (?:https://(?:protonmail\.com|proton\.me|openpgpjs\.org|mailvelope\.com|flowcrypt\.com)"
    rb"|GPGTools - https?://gpgtools\.org|Using GnuPG with [A-Z][a-z]{1,12} - https?://www\.enigmail\.net/)"
    rb"|Charset: (?:utf-8|UTF-8)"
)
# Incoming: GnuPG lets its user choose the comment.
_HEADER = re.compile(rb"(?:Version|Comment|Charset): [ -~]{1,200}")


def armour(read: Reader, *, strict: bool) -> Grammar:
    """Read an armoured message from its BEGIN line to its END line; raises NotEncrypted."""
    line = yield from read.line()
    if line != BEGIN:
        raise NotEncrypted("the second part does not begin with PGP armour")
    yield from _headers(read, strict=strict)
    packets = PacketWalker()
    text = _Base64(packets)
    line = yield from _data(read, text)
    if _CHECKSUM.fullmatch(line):
        line = yield from read.line(_NO_BASE64)
    if line != END:
        raise NotEncrypted(_NO_BASE64)
    text.finish()
    packets.finish()


def quoted_armour(read: Reader, end: bytes) -> Grammar:
    """Read quoted-printable that decodes to armour, up to and without the line `end`.

    Raises NotEncrypted.
    """
    inner = Reader()
    decoded = Machine(inner, _armour_and_empty_lines(inner))
    last, soft = end + b"\r\n", False
    while True:
        found = 0 if read.buffer.startswith(last) else read.buffer.find(b"\r\n" + last) + 2
        at_end = found != 1
        whole = read.buffer.rfind(b"\r\n") + 1
        block = read.buffer[: found if at_end else whole and whole + 1]
        if block:
            _decode(block, decoded)
            soft = block.endswith(b"=\r\n")
        # The delimiter is the caller's to see.
        read.buffer = read.buffer[len(block) :]
        if at_end:
            break
        if len(read.buffer) > MAX_WIDTH + 1:
            raise NotEncrypted(_NO_QUOTED)
        yield from read.more()
    if soft:
        raise NotEncrypted("quoted-printable that ends in the middle of a line")
    decoded.finish()


def _decode(block: bytes, decoded: Machine) -> None:
    """Pass whole lines of quoted-printable on, decoded; raises NotEncrypted."""
    good = len(block) if _is_quoted(block) else _good_quoted(block)
    # What comes before a fault may have a fault of its own, which is then the first.
    decoded.feed(binascii.a2b_qp(block[:good]))
    if good < len(block):
        raise NotEncrypted(_NO_QUOTED)


def _is_quoted(block: bytes) -> bool:
    """Return whether whole lines are quoted-printable, by few passes of C code."""
    return (
        not block.translate(None, _QUOTED_OCTETS)
        and b" \r\n" not in block
        and b"\t\r\n" not in block
        and max(map(len, block.split(b"\r\n"))) <= MAX_WIDTH
        # What armour needs, soft line ends and "=" itself, is counted; the rest is looked at.
        and (
            block.count(b"=") == block.count(b"=3D") + block.count(b"=\r\n")
            or _ESCAPES.fullmatch(block) is not None
        )
        and block.count(b"\r") == block.count(b"\n") == block.count(b"\r\n")
    )


def _good_quoted(block: bytes) -> int:
    """How many octets of whole lines, from the first on, are lines of quoted-printable."""
    match = _QUOTED_LINES.match(block)
    return match.end() if match else 0


def _armour_and_empty_lines(read: Reader) -> Grammar:
    yield from armour(read, strict=False)
    yield from read.only_empty("something after the PGP armour")


def _headers(read: Reader, *, strict: bool) -> Grammar:
    for _ in range(MAX_HEADERS):
        line = yield from read.line()
        if not line:
            return
        if not (_KNOWN_HEADER if strict else _HEADER).fullmatch(line):
            raise NotEncrypted("a header in the PGP armour")
    raise NotEncrypted("too many headers in the PGP armour")


def _data(read: Reader, text: "_Base64") -> Generator[None, None, bytes]:
    """Read lines of base64; the first line that is none of them."""
    while True:
        whole = read.buffer.rfind(b"\r\n") + 2
        if whole > 1:
            odd = _first_odd_line(read.buffer, whole)
            text.lines(read.buffer[: min(odd, whole)])
            read.buffer = read.buffer[min(odd, whole) :]
            if odd < whole:
                break
        if len(read.buffer) > MAX_WIDTH + 2:
            raise NotEncrypted(_NO_BASE64)
        yield from read.more()
    line = yield from read.line(_NO_BASE64)
    padded = _PADDED.fullmatch(line)
    if padded and len(line) <= MAX_WIDTH and not _CHECKSUM.fullmatch(line):
        text.last_line(padded[1], len(padded[2]))
        line = yield from read.line(_NO_BASE64)
    return line


def _first_odd_line(buffer: bytes, end: int) -> int:
    """Where the first line with "=" or "-" begins: neither is of the base64 alphabet."""
    signs = [at for sign in (b"=", b"-") if (at := buffer.find(sign, 0, end)) >= 0]
    if not signs:
        return end
    before = buffer.rfind(b"\r\n", 0, min(signs))
    return before + 2 if before >= 0 else 0


class _Base64:
    """Counts, and where the packets want it decodes, base64 that comes in whole lines."""

    def __init__(self, packets: PacketWalker) -> None:
        self._packets = packets
        # Characters of a quantum of four that is not complete yet.
        self._carry = b""

    def lines(self, block: bytes) -> None:
        """Take whole lines; raises NotEncrypted if they are anything but base64.

        What comes before the fault is taken first: it may have a fault of its own, and which one
        is told must not depend on how the bytes came.
        """
        good, width = _good_lines(block)
        if good:
            self._take(block if good == len(block) else block[:good], width)
        if good < len(block):
            raise NotEncrypted(_NO_BASE64)

    def _take(self, block: bytes, width: int) -> None:
        """Count characters where the packets pass them over, decode a few where they do not."""
        if self._carry or not width or width % 4:
            block = self._carry + block.replace(b"\r\n", b"")
            width, count = max(len(block), 1), len(block)
        else:
            count = len(block) - 2 * -(-len(block) // (width + 2))
        at, whole = 0, count // 4 * 4
        while at < whole:
            if quanta := min((whole - at) // 4, self._packets.skip // 3):
                self._packets.pass_over(3 * quanta)
                at += 4 * quanta
            else:
                end = min(whole, at + _GLANCE)
                self._packets.feed(binascii.a2b_base64(_characters(block, width, at, end)))
                at = end
        self._carry = _characters(block, width, whole, count)

    def last_line(self, characters: bytes, padding: int) -> None:
        """Take the line that ends the data, its padding counted."""
        text = self._carry + characters
        self._carry = b""
        padded = text + b"=" * padding
        if len(padded) % 4:
            raise NotEncrypted("base64 that is padded wrongly")
        octets = binascii.a2b_base64(padded)
        # The bits that padding leaves over are zero, or they would say something.
        if binascii.b2a_base64(octets, newline=False) != padded:
            raise NotEncrypted("base64 that is padded wrongly")
        self._packets.feed(octets)

    def finish(self) -> None:
        """There is no more base64; raises NotEncrypted if some is missing."""
        if self._carry:
            raise NotEncrypted("base64 that is cut short")


def _characters(block: bytes, width: int, begin: int, end: int) -> bytes:
    """Characters of lines that all have `width` of them but for the last, without line ends."""
    return block[begin + begin // width * 2 : end + end // width * 2].replace(b"\r\n", b"")


def _good_lines(block: bytes) -> tuple[int, int]:
    """How many octets of these whole lines, from the first on, are lines of base64.

    And the width of all those lines but the last, 0 where they differ.
    """
    width = block.find(b"\r\n")
    full = len(block) // (width + 2)
    end = full * (width + 2)
    regular = (
        0 < width <= MAX_WIDTH
        and block[width:end:width + 2] == b"\r" * full
        and block[width + 1:end:width + 2] == b"\n" * full
        and len(block[:end].translate(None, _ALPHABET)) == 2 * full
    )  # fmt: skip
    if regular and end == len(block):
        return end, width
    match = _LINES.match(block, end if regular else 0)
    good = match.end() if match else 0
    one_more = regular and block.count(b"\r\n", end, good) <= 1
    return good, width if one_more else 0
