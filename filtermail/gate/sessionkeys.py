"""Session keys: how many, and how large their algorithms let them be (RFC 9580, 5.1 and 5.3).

What is not ciphertext may be text, so a packet may be only as large as its algorithm needs, RSA's
number has to fill it, and all of them together are bounded. An algorithm or version that is not
known here passes within a general bound, so that those of tomorrow pass too, if not to as many
recipients. That a session key of the right size is one, nobody but its owner can know.
"""

from typing import NamedTuple

from filtermail.gate.verdict import NotEncrypted

PKESK, SKESK = 1, 3
MAX_PKESK = 1024
"""One per recipient, of whom Postfix takes 1,000 per message, and the sender's own."""
MAX_SKESK = 16
"""One per passphrase. Cores write one, for a channel or an invitation."""
MAX_OCTETS = 1024 * 1024
"""Of all session keys: 600 post-quantum ones, or more of classical algorithms than may be there."""
MAX_UNKNOWN = 48 * 1024
"""Of all session keys of algorithms or versions that are not known here."""
BEGINNING = 48
"""Octets of a packet's body that are looked at: the algorithm behind the longest fingerprint,
and the size of the number that follows it."""


class _Size(NamedTuple):
    """Octets of what follows the algorithm's number, at least and at most."""

    least: int
    most: int
    behind_least: int = 0
    behind_most: int = -1
    """If it begins with a number: octets of what follows that. -1: it does not."""


# A wrapped key has 24 to 40 octets, one of length before it, and with v3 one for the cipher.
_ALGORITHMS = {
    1: _Size(2 + 64, 2 + 1024, 0, 0),  # RSA of 512 to 8,192 bits
    2: _Size(2 + 64, 2 + 1024, 0, 0),
    8: _Size(1088, 1800),  # Kyber as GnuPG 2.5 has it
    16: _Size(2 * (2 + 64), 2 * (2 + 512), 2 + 64, 2 + 512),  # Elgamal of up to 4,096 bits
    18: _Size(2 + 32 + 1 + 24, 2 + 133 + 1 + 64, 1 + 24, 1 + 64),  # ECDH up to P-521
    25: _Size(32 + 1 + 24, 32 + 2 + 40),  # X25519
    26: _Size(56 + 1 + 24, 56 + 2 + 40),  # X448
    35: _Size(32 + 1088 + 1 + 24, 32 + 1088 + 2 + 40),  # ML-KEM-768 with X25519
    36: _Size(56 + 1568 + 1 + 24, 56 + 1568 + 2 + 40),  # ML-KEM-1024 with X448
}
_UNKNOWN = _Size(40, 2048)
_LEAST = 12
_WHOLE = {PKESK: (_LEAST, 2100), SKESK: (12, 160)}
_VERSIONS = {PKESK: range(3, 10), SKESK: range(4, 10)}
# First octets of headers in the legacy format with one or two octets of length (4.2.2), and where
# the body begins.
_LEGACY = {0x84: (PKESK, 2), 0x85: (PKESK, 3), 0x8C: (SKESK, 2), 0x8D: (SKESK, 3)}
_NAMES = {PKESK: "PKESK", SKESK: "SKESK"}
# Fingerprint's length by key version, after the length octet of a v6 PKESK (5.1.2); 0: anonymous.
_FINGERPRINTS = {(21, 4), (33, 6)}


class SessionKeys:
    """The session keys of one message, counted."""

    __slots__ = ("_octets", "_pkesk", "_skesk", "_unknown")

    def __init__(self) -> None:
        self._pkesk = self._skesk = self._octets = self._unknown = 0

    def step_over(self, octets: bytes, at: int) -> int:
        """Step over session keys that are here as a whole; return where the next packet begins.

        Raises NotEncrypted. Headers that say more than 65,535 octets are left to the walker.
        """
        end = len(octets)
        while at + 6 < end:
            first, length = octets[at], octets[at + 1]
            # What nearly all are, in few steps: a thousand of them take a millisecond.
            if (first == 0xC1 or first == 0x84) and length < 192:
                body = at + 2
            elif octets.startswith(b"\xc1\xff\0\0\0", at):
                length, body = octets[at + 5], at + 6
            else:
                length = 0
            if length >= _LEAST:
                if body + length > end:
                    break
                self._take_pkesk(length, octets, body)
            else:
                tag, length, body = _header(octets, at)
                if not body or body + length > end:
                    break
                self.take(tag, length, octets, body)
            at = body + length
        return at

    def take(self, tag: int, length: int, octets: bytes, at: int = 0) -> None:
        """Judge and count a packet by its length and the beginning of its body, which is at `at`.

        Raises NotEncrypted.
        """
        check_size(tag, length)
        if tag == PKESK:
            self._take_pkesk(length, octets, at)
            return
        if octets[at] not in _VERSIONS[SKESK]:
            raise NotEncrypted(f"a SKESK packet of version {octets[at]}")
        self._skesk += 1
        self._octets += length
        if self._skesk > MAX_SKESK:
            raise NotEncrypted("too many session-key packets")
        if self._octets > MAX_OCTETS:
            raise NotEncrypted("too many octets of session keys")

    def _take_pkesk(self, length: int, octets: bytes, at: int) -> None:
        version, size = octets[at], _UNKNOWN
        algorithm, rest = at + 9, length - 10
        if version == 3:
            size = _ALGORITHMS.get(octets[algorithm], _UNKNOWN)
        elif version == 6:
            fingerprint = octets[at + 1]
            if fingerprint and (fingerprint, octets[at + 2]) not in _FINGERPRINTS:
                raise NotEncrypted("a PKESK packet with an implausible fingerprint")
            algorithm, rest = at + 2 + fingerprint, length - 3 - fingerprint
            size = _ALGORITHMS.get(octets[algorithm], _UNKNOWN) if rest > 0 else _UNKNOWN
        elif version not in _VERSIONS[PKESK]:
            raise NotEncrypted(f"a PKESK packet of version {version}")
        least, most, behind_least, behind_most = size
        fits = least <= rest <= most
        if fits and behind_most >= 0:
            # The number with which the key begins leaves what it should.
            bits = octets[algorithm + 1] << 8 | octets[algorithm + 2]
            fits = behind_least <= rest - 2 - (bits + 7 >> 3) <= behind_most
        if not fits:
            raise NotEncrypted("a PKESK packet of a size that its algorithm does not have")
        if size is _UNKNOWN:
            self._count_unknown(length)
        self._octets += length
        self._pkesk += 1
        if self._pkesk > MAX_PKESK:
            raise NotEncrypted("too many session-key packets")
        if self._octets > MAX_OCTETS:
            raise NotEncrypted("too many octets of session keys")

    def _count_unknown(self, length: int) -> None:
        self._unknown += length
        if self._unknown > MAX_UNKNOWN:
            raise NotEncrypted("too many octets of session keys")


def check_size(tag: int, length: int) -> None:
    """Judge a packet's size before any of it is seen; raises NotEncrypted."""
    least, most = _WHOLE[tag]
    if not least <= length <= most:
        raise NotEncrypted(f"a {_NAMES[tag]} packet of implausible size")


def _header(octets: bytes, at: int) -> tuple[int, int, int]:
    """A session key's tag, its length, and where its body begins: 0 where the walker is to see."""
    first, length = octets[at], octets[at + 1]
    tag = first - 0xC0
    if tag in _WHOLE:
        if length == 255 and not (octets[at + 2] or octets[at + 3]):
            return tag, octets[at + 4] << 8 | octets[at + 5], at + 6
        if length < 192:
            return tag, length, at + 2
        if length < 224:
            return tag, (length - 192 << 8) + octets[at + 2] + 192, at + 3
    elif first in _LEGACY:
        tag, size = _LEGACY[first]
        return tag, length if size == 2 else length << 8 | octets[at + 2], at + size
    return 0, 0, 0
