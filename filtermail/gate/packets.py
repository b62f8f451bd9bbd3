"""The sequence of OpenPGP packets in an encrypted message: framing only (RFC 9580, 4.2 and 10.3).

Accepted: session-key packets (PKESK, SKESK; `filtermail.gate.sessionkeys`), then exactly one SEIPD
packet, which ends where the data ends. The body of SEIPD is ciphertext and is passed over uncounted
and unread; of the session keys the beginning is read.

AEAD packets (tag 20) of some GnuPG versions are not SEIPD: they never became a standard, Delta
Chat neither sends nor reads them, and so they are refused.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

from filtermail.gate.sessionkeys import BEGINNING, PKESK, SKESK, SessionKeys, check_size
from filtermail.gate.verdict import NotEncrypted

SEIPD = 18
MIN_CHUNK = 512
"""Least octets of a partial chunk. RFC 9580, 4.2.1.4, asks it of the first one; programs write
larger ones only (GnuPG 8 KiB, Sequoia 32 KiB, cores 512 KiB), and small ones cost time."""
# Version to least octets: v1 holds a random block and the MDC packet (5.13.1), v2 four octets
# of header, the salt, and the two tags of an empty chunk and of the end (5.13.2).
SEIPD_SMALLEST = {1: 1 + 8 + 2 + 22, 2: 4 + 32 + 16}


class _Header(NamedTuple):
    tag: int
    length: int
    partial: bool


Walk = Generator[int, bytes, None]
"""Yields how many octets it wants to read, or, negative, how many to pass over."""


class PacketWalker:
    """Walks over packets whose octets come in pieces.

    `skip` octets that come next are of no interest: whoever can count them without having them
    decoded calls `pass_over` instead of `feed`.
    """

    def __init__(self) -> None:
        self._quick = _Quick()
        self._walk = _message(self._quick)
        self._pending = b""
        self._complete = False
        self.skip = 0
        self._want = 0
        self._ask(next(self._walk))

    def feed(self, octets: bytes) -> None:
        """Take the next octets; raises NotEncrypted."""
        if not octets:
            return
        data = self._pending + octets if self._pending else octets
        at = 0
        while not self._complete:
            if self.skip:
                step = min(self.skip, len(data) - at)
                self.pass_over(step)
                at += step
                if self.skip:
                    break
            else:
                if self._quick.step_over is not None:
                    at = self._quick.step_over(data, at)
                if len(data) - at < self._want:
                    break
                taken = data[at : at + self._want]
                at += self._want
                self._advance(taken)
        self._pending = data[at:]
        if self._complete and self._pending:
            raise NotEncrypted("data after the encrypted packet")

    def pass_over(self, count: int) -> None:
        """Take `count` octets unseen, at most `skip`."""
        self.skip -= count
        if not self.skip:
            self._advance(b"")

    def finish(self) -> None:
        """There are no more octets; raises NotEncrypted unless the message is whole."""
        if not self._complete:
            raise NotEncrypted("the encrypted packet is cut short or missing")

    def _advance(self, taken: bytes) -> None:
        try:
            self._ask(self._walk.send(taken))
        except StopIteration:
            self._complete = True

    def _ask(self, amount: int) -> None:
        self._want, self.skip = (amount, 0) if amount > 0 else (0, -amount)


class _Quick:
    """What steps, where the walk stands now, over all that is at hand as a whole."""

    def __init__(self) -> None:
        self.step_over: Callable[[bytes, int], int] | None = None


def _message(quick: _Quick) -> Walk:
    """The grammar: session keys, then one SEIPD, then nothing."""
    keys = SessionKeys()
    while True:
        quick.step_over = keys.step_over
        first = (yield 1)[0]
        quick.step_over = None
        header = yield from _header(first)
        if header.tag == SEIPD:
            yield from _seipd(header, quick)
            return
        if header.tag not in (PKESK, SKESK):
            raise NotEncrypted(f"an OpenPGP packet of type {header.tag}")
        if header.partial:
            raise NotEncrypted("a session-key packet of partial length")
        check_size(header.tag, header.length)
        beginning = yield min(header.length, BEGINNING)
        keys.take(header.tag, header.length, beginning)
        if header.length > BEGINNING:
            yield BEGINNING - header.length


def _header(first: int) -> Generator[int, bytes, _Header]:
    """A packet's header in the OpenPGP or the legacy format (RFC 9580, 4.2.1 and 4.2.2)."""
    if not first & 0x80:
        raise NotEncrypted("what is armoured is no OpenPGP packet")
    if first & 0x40:
        length, partial = yield from _length((yield 1)[0])
        return _Header(first & 0x3F, length, partial)
    size = 1 << (first & 3)
    if size == 8:
        raise NotEncrypted("a packet of indeterminate length")
    length = int.from_bytes((yield size), "big")
    return _Header(first >> 2 & 0x0F, length, partial=False)


def _length(first: int) -> Generator[int, bytes, tuple[int, bool]]:
    """A length in the OpenPGP format that begins with `first`, and whether it is a partial one."""
    if first < 192:
        return first, False
    if first < 224:
        return (first - 192 << 8) + (yield 1)[0] + 192, False
    if first == 255:
        return int.from_bytes((yield 4), "big"), False
    return 1 << (first & 0x1F), True


def _step_over_chunks(octets: bytes, at: int) -> int:
    """Step over partial chunks that are here as a whole; return where the next length stands.

    Raises NotEncrypted.
    """
    end = len(octets)
    while at < end and 224 <= octets[at] < 255:
        length = 1 << (octets[at] & 0x1F)
        if length < MIN_CHUNK:
            raise NotEncrypted(f"a partial chunk under {MIN_CHUNK} octets")
        if at + 1 + length > end:
            break
        at += 1 + length
    return at


def _seipd(header: _Header, quick: _Quick) -> Walk:
    length, partial = header.length, header.partial
    if partial and length < MIN_CHUNK:
        raise NotEncrypted(f"a partial chunk under {MIN_CHUNK} octets")
    if not length:
        raise NotEncrypted("an encrypted packet that is empty")
    version = (yield 1)[0]
    if version not in SEIPD_SMALLEST:
        raise NotEncrypted(f"an encrypted packet of version {version}")
    if not partial and length < SEIPD_SMALLEST[version]:
        raise NotEncrypted("an encrypted packet that is too short")
    length -= 1
    while True:
        if length:
            yield -length
        if not partial:
            return
        quick.step_over = _step_over_chunks
        first = (yield 1)[0]
        quick.step_over = None
        length, partial = yield from _length(first)
        if partial and length < MIN_CHUNK:
            raise NotEncrypted(f"a partial chunk under {MIN_CHUNK} octets")
