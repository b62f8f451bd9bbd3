"""ASCII armour, strictly: what stands between BEGIN and END is base64 of packets, and no more.

Theory of operation. This is where the bytes are: thirty megabytes of it must cost about one
pass of C-speed scanning. So lines are never looped over. A block of whole lines is checked at
once: if all have the width of the first (armour has), two strided slices show that every CR and
LF is where it should be, and one `translate` shows that nothing but base64 is between; anything
else goes through a regular expression with the same meaning. Base64 is decoded only where the
packet walker wants to see octets; while it passes over ciphertext, octets are only counted.

Grammar (RFC 9580, 6.2): BEGIN line, armour headers (outgoing, known ones), an empty line, lines of
16 to 76 base64 characters, the last of which may be shorter and has the padding, a checksum line or
none, END line. Programs write 60, 64 or 76; shorter lines would only cost time. The checksum's
value is not held against the data: RFC 9580, 6.1, forbids to refuse on it.

Some gateways put every part that they pass on into quoted-printable (RFC 2045, 6.7). What that
decodes to has to be clean armour, read by the same grammar, which knows no octet that would have to
be encoded. So the encoding itself can only vary in what `_good_quoted` bounds: the length of lines,
where they are broken softly, escapes, and white space before a line's end. It is decoded in blocks
as well.
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
MIN_WIDTH = 16
"""Characters of every line of base64 but the last."""
MIN_SOFT = 60
"""Octets before a soft line end: encoders break lines that are full."""
MAX_ESCAPES = 64
"""Escapes in quoted-printable, `=3D` not counted: the base64 of armour needs none at all, and some
encoders escape "-" or "." where a line begins."""
MAX_HEADERS = 8

_NO_BASE64 = "something in the PGP armour that is not base64"
_NO_QUOTED = "a line that is no quoted-printable"
_GLANCE, _LONG_GLANCE = 256, 16384
"""Characters that are decoded at a time, to find a packet's header among them: twice as many each
time, as long as headers are near to each other."""
_BLOCK = 16 * 1024
"""Octets of quoted-printable that are decoded at a time."""
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LINES = re.compile(rb"(?:[A-Za-z0-9+/]{16,76}+\r\n)*+(?:[A-Za-z0-9+/]{1,15}+\r\n)?+")
_PADDED = re.compile(rb"([A-Za-z0-9+/]{0,75})(={1,2})")
# Lines with their CRLF, of at most 76 octets; a short one has no soft end.
_QUOTED_LINES = re.compile(
    rb"(?:[^\n]{%d,77}+\n(?<=\r\n)|[^\n]{0,%d}+\n(?<=\r\n)(?<!=\r\n))*+"
    % (MIN_SOFT + 2, MIN_SOFT + 1)
)
_RARE_ESCAPE = re.compile(rb"=(?!\r\n|3D)(?:[0-9A-F]{2})?+")
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
    text = _Quoted()
    last = end + b"\r\n"
    while True:
        # Base64 has no "-", and to look for one octet takes little.
        found = read.buffer.find(b"\r\n" + last) + 2 if b"-" in read.buffer else 1
        found = 0 if read.buffer.startswith(last) else found
        at_end = found != 1
        whole = read.buffer.rfind(b"\r\n") + 1
        block = read.buffer[: found if at_end else whole and whole + 1]
        # The delimiter is the caller's to see.
        read.buffer = read.buffer[len(block) :]
        text.lines(block)
        if at_end:
            break
        if len(read.buffer) > MAX_WIDTH + 1:
            raise NotEncrypted(_NO_QUOTED)
        yield from read.more()
    text.finish()


class _Quoted:
    """Decodes quoted-printable that comes in whole lines, and has the armour's grammar read it."""

    def __init__(self) -> None:
        reader = Reader()
        self._decoded = Machine(reader, _armour_and_empty_lines(reader))
        self._escapes = 0
        self._soft = False

    def lines(self, block: bytes) -> None:
        """Take whole lines; raises NotEncrypted."""
        at, end = 0, len(block)
        while at < end:
            # Little at a time: a fault that the armour has is found before more is decoded.
            cut = block.rfind(b"\n", at, at + _BLOCK) + 1 or end
            self._lines(block[at:cut])
            at = cut

    def _lines(self, block: bytes) -> None:
        """What comes before a fault may have a fault of its own, which is then the first."""
        good = self._good(block)
        text = block if good == len(block) else block[:good]
        self._decoded.feed(binascii.a2b_qp(text) if b"=" in text else text)
        if good < len(block):
            raise NotEncrypted(_NO_QUOTED)
        self._soft = block.endswith(b"=\r\n")

    def _good(self, block: bytes) -> int:
        """How many octets of these whole lines, from the first on, are quoted-printable.

        Octets that would have to be encoded are left to the armour's grammar, which has none.
        """
        lines = _QUOTED_LINES.match(block)
        good = lines.end() if lines else 0
        for blank in (b" ", b"\t"):
            # There is rarely one, and to look for one octet takes less than for three.
            at = block.find(blank + b"\r\n", 0, good) if blank in block else -1
            if at >= 0:
                good = block.rfind(b"\n", 0, at) + 1
        for escape in _RARE_ESCAPE.finditer(block, 0, good) if b"=" in block else ():
            self._escapes += 1
            if len(escape[0]) == 1 or self._escapes > MAX_ESCAPES:
                return block.rfind(b"\n", 0, escape.start()) + 1
        return good

    def finish(self) -> None:
        """There are no more lines; raises NotEncrypted unless the armour is whole."""
        if self._soft:
            raise NotEncrypted("quoted-printable that ends in the middle of a line")
        self._decoded.finish()


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
        self._glance = _GLANCE
        self._short = False  # a line under MIN_WIDTH has come, which is the last

    def lines(self, block: bytes) -> None:
        """Take whole lines; raises NotEncrypted if they are anything but base64.

        What comes before the fault is taken first: it may have a fault of its own, and which one
        is told must not depend on how the bytes came.
        """
        if not block:
            return
        good, width = _good_lines(block) if not self._short else (0, 0)
        if good:
            self._take(block if good == len(block) else block[:good], width)
        if good < len(block):
            raise NotEncrypted(_NO_BASE64)
        self._short = len(block) - block.rfind(b"\n", 0, -1) - 3 < MIN_WIDTH

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
                if 4 * quanta > _LONG_GLANCE // 2:
                    self._glance = _GLANCE
            else:
                end = min(whole, at + self._glance)
                self._glance = min(2 * self._glance, _LONG_GLANCE)
                # The decoder passes over line ends, and nothing else is there that it would.
                self._packets.feed(binascii.a2b_base64(_span(block, width, at, end)))
                at = end
        self._carry = _span(block, width, whole, count).replace(b"\r\n", b"")

    def last_line(self, characters: bytes, padding: int) -> None:
        """Take the line that ends the data, its padding counted."""
        if self._short:
            raise NotEncrypted(_NO_BASE64)
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


def _span(block: bytes, width: int, begin: int, end: int) -> bytes:
    """So many characters of lines that all have `width` of them but for the last."""
    return block[begin + begin // width * 2 : end + end // width * 2]


def _good_lines(block: bytes) -> tuple[int, int]:
    """How many octets of these whole lines, from the first on, are lines of base64.

    And the width of all those lines but the last, 0 where they differ.
    """
    width = block.find(b"\r\n")
    full = len(block) // (width + 2)
    end = full * (width + 2)
    regular = (
        MIN_WIDTH <= width <= MAX_WIDTH
        and block[width:end:width + 2] == b"\r" * full
        and block[width + 1:end:width + 2] == b"\n" * full
        and len(block[:end].translate(None, ALPHABET)) == 2 * full
    )  # fmt: skip
    if regular and end == len(block):
        return end, width
    match = _LINES.match(block, end if regular else 0)
    good = match.end() if match else 0
    one_more = regular and block.count(b"\r\n", end, good) <= 1
    return good, width if one_more else 0
