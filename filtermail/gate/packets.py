"""The sequence of OpenPGP packets in an encrypted message: framing only (RFC 9580, 4.2 and 10.3).

Accepted: any number of session-key packets (PKESK, SKESK), then exactly one SEIPD packet, which
ends where the data ends. The bodies of SEIPD are ciphertext and are passed over uncounted and
unread; of the session-key packets the beginning is read, and their size is held to what keys of
today and of the post-quantum drafts need, because what is not ciphertext may be text. Algorithm
numbers are not looked at, so that new ones pass.

AEAD packets (tag 20) of some GnuPG versions are not SEIPD: they never became a standard, Delta
Chat neither sends nor reads them, and so they are refused.
"""

from collections.abc import Generator
from typing import NamedTuple

from filtermail.gate.verdict import NotEncrypted

PKESK, SKESK, SEIPD = 1, 3, 18
MAX_SESSION_KEYS = 5000
"""One a recipient and device; far above the largest group."""
_FIRST_PARTIAL = 512
"""Least octets of the first partial chunk (RFC 9580, 4.2.1.4)."""


class _Kind(NamedTuple):
    """What a session-key packet may be like: versions, and octets of its body."""

    name: str
    versions: range
    smallest: int
    largest: int


# The largest PKESK known: ML-KEM-1024 with X448, some 1,700 octets; RSA of 16,384 bits, 2,060.
_SESSION_KEYS = {
    PKESK: _Kind("PKESK", range(3, 10), 12, 4096),
    SKESK: _Kind("SKESK", range(4, 10), 4, 256),
}
# Version to least octets: v1 holds a random block and the MDC packet (5.13.1), v2 four octets
# of header, the salt, and the two tags of an empty chunk and of the end (5.13.2).
SEIPD_SMALLEST = {1: 1 + 8 + 2 + 22, 2: 4 + 32 + 16}
# Fingerprint's length by key version, after the length octet of a v6 PKESK (5.1.2); 0: anonymous.
_FINGERPRINTS = {(0, None), (21, 4), (33, 6)}


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
        self._walk = _message()
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
            elif len(data) - at < self._want:
                break
            else:
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


def _message() -> Walk:
    """The grammar: session keys, then one SEIPD, then nothing."""
    for _ in range(MAX_SESSION_KEYS + 1):
        header = yield from _header()
        if header.tag == SEIPD:
            yield from _seipd(header)
            return
        if header.tag not in _SESSION_KEYS:
            raise NotEncrypted(f"an OpenPGP packet of type {header.tag}")
        yield from _session_key(header)
    raise NotEncrypted(f"more than {MAX_SESSION_KEYS} session-key packets")


def _header() -> Generator[int, bytes, _Header]:
    """A packet's header in the OpenPGP or the legacy format (RFC 9580, 4.2.1 and 4.2.2)."""
    first = (yield 1)[0]
    if not first & 0x80:
        raise NotEncrypted("what is armoured is no OpenPGP packet")
    if first & 0x40:
        length, partial = yield from _length()
        return _Header(first & 0x3F, length, partial)
    size = 1 << (first & 3)
    if size == 8:
        raise NotEncrypted("a packet of indeterminate length")
    length = int.from_bytes((yield size), "big")
    return _Header(first >> 2 & 0x0F, length, partial=False)


def _length() -> Generator[int, bytes, tuple[int, bool]]:
    """A length in the OpenPGP format, and whether it is a partial one."""
    first = (yield 1)[0]
    if first < 192:
        return first, False
    if first < 224:
        return (first - 192 << 8) + (yield 1)[0] + 192, False
    if first == 255:
        return int.from_bytes((yield 4), "big"), False
    return 1 << (first & 0x1F), True


def check_session_key(tag: int, length: int, beginning: bytes) -> None:
    """Judge a session key's packet by its size and first three octets; raises NotEncrypted."""
    kind = _SESSION_KEYS[tag]
    if not kind.smallest <= length <= kind.largest:
        raise NotEncrypted(f"a {kind.name} packet of implausible size")
    version, second, third = beginning[0], beginning[1], beginning[2]
    if version not in kind.versions:
        raise NotEncrypted(f"a {kind.name} packet of version {version}")
    if tag == PKESK and version == 6:
        key_version = third if second else None
        if (second, key_version) not in _FINGERPRINTS or length < 12 + second:
            raise NotEncrypted("a PKESK packet with an implausible fingerprint")


def _session_key(header: _Header) -> Walk:
    kind = _SESSION_KEYS[header.tag]
    if header.partial:
        raise NotEncrypted(f"a {kind.name} packet of partial length")
    if header.length < kind.smallest:
        raise NotEncrypted(f"a {kind.name} packet of implausible size")
    check_session_key(header.tag, header.length, (yield 3))
    yield 3 - header.length


def _seipd(header: _Header) -> Walk:
    length, partial = header.length, header.partial
    if partial and length < _FIRST_PARTIAL:
        raise NotEncrypted(f"a first partial chunk under {_FIRST_PARTIAL} octets")
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
        length, partial = yield from _length()
