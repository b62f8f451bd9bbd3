"""Session keys: how many, and how large their algorithms let them be (RFC 9580, 5.1 and 5.3).

What is not ciphertext may be text, so a packet may be only as large as its algorithm needs, RSA's
number has to fill it, and all of them together are bounded. An algorithm or version that is not
known here passes within a general bound, so that those of tomorrow pass too, if not to as many
recipients. That a session key of the right size is one, nobody but its owner can know.
"""

from typing import NamedTuple

from filtermail.gate.verdict import NotEncrypted

PKESK, SKESK = 1, 3
MAX_PKESK = 5000
"""One per recipient; far above the largest group."""
MAX_SKESK = 16
"""One per passphrase. Cores write one, for a channel or an invitation."""
MAX_OCTETS = 1024 * 1024
"""Of all session keys: 5,000 of classical algorithms, or 600 post-quantum ones."""
MAX_UNKNOWN = 48 * 1024
"""Of all session keys of algorithms or versions that are not known here."""
BEGINNING = 48
"""Octets of a packet's body that are looked at: the algorithm behind the longest fingerprint,
and the size of the number that follows it."""


class _Size(NamedTuple):
    """Octets of what follows the algorithm's number, at least and at most."""

    least: int
    most: int


_RSA, _ELGAMAL, _ECDH = (1, 2), 16, 18
# A wrapped key has 24 to 40 octets, one of length before it, and with v3 one for the cipher.
_ALGORITHMS = {
    1: _Size(2 + 64, 2 + 1024),  # RSA of 512 to 8,192 bits
    2: _Size(2 + 64, 2 + 1024),
    8: _Size(1088, 1800),  # Kyber as GnuPG 2.5 has it
    16: _Size(2 * (2 + 64), 2 * (2 + 512)),  # Elgamal of up to 4,096 bits
    18: _Size(2 + 32 + 1 + 24, 2 + 133 + 1 + 64),  # ECDH up to P-521
    25: _Size(32 + 1 + 24, 32 + 2 + 40),  # X25519
    26: _Size(56 + 1 + 24, 56 + 2 + 40),  # X448
    35: _Size(32 + 1088 + 1 + 24, 32 + 1088 + 2 + 40),  # ML-KEM-768 with X25519
    36: _Size(56 + 1568 + 1 + 24, 56 + 1568 + 2 + 40),  # ML-KEM-1024 with X448
}
_UNKNOWN = _Size(40, 2048)
_WHOLE = {PKESK: _Size(12, 2100), SKESK: _Size(12, 160)}
_VERSIONS = {PKESK: range(3, 10), SKESK: range(4, 10)}
# First octets of headers in the legacy format with one or two octets of length (4.2.2), and where
# the body begins.
_LEGACY = {0x84: (PKESK, 2), 0x85: (PKESK, 3), 0x8C: (SKESK, 2), 0x8D: (SKESK, 3)}
_NAMES = {PKESK: "PKESK", SKESK: "SKESK"}
# Fingerprint's length by key version, after the length octet of a v6 PKESK (5.1.2); 0: anonymous.
_FINGERPRINTS = {(21, 4), (33, 6)}


class SessionKeys:
    """The session keys of one message, counted. `between` is for the walker: a packet may begin."""

    __slots__ = ("_octets", "_pkesk", "_skesk", "_unknown", "between")

    def __init__(self) -> None:
        self._pkesk = self._skesk = self._octets = self._unknown = 0
        self.between = False

    def step_over(self, octets: bytes, at: int) -> int:
        """Step over session keys that are here as a whole; return where the next packet begins.

        Raises NotEncrypted. Headers that say more than 65,535 octets are left to the walker.
        """
        end = len(octets)
        while at + 6 < end:
            first, length = octets[at], octets[at + 1]
            if first in _LEGACY:
                tag, body = _LEGACY[first]
                if body == 3:
                    length = length << 8 | octets[at + 2]
            elif (tag := first - 0xC0) not in _WHOLE:
                break
            elif length < 192:
                body = 2
            elif length < 224:
                length, body = (length - 192 << 8) + octets[at + 2] + 192, 3
            elif length == 255 and not (octets[at + 2] or octets[at + 3]):
                length, body = octets[at + 4] << 8 | octets[at + 5], 6
            else:
                break
            body += at
            if body + length > end:
                break
            self.check_size(tag, length)
            self.take(tag, length, octets[body : body + BEGINNING])
            at = body + length
        return at

    def check_size(self, tag: int, length: int) -> None:
        """Judge a packet's size before any of it is seen; raises NotEncrypted."""
        size = _WHOLE[tag]
        if not size.least <= length <= size.most:
            raise NotEncrypted(f"a {_NAMES[tag]} packet of implausible size")

    def take(self, tag: int, length: int, beginning: bytes) -> None:
        """Judge and count a packet by its length and the beginning of its body.

        Raises NotEncrypted.
        """
        if beginning[0] not in _VERSIONS[tag]:
            raise NotEncrypted(f"a {_NAMES[tag]} packet of version {beginning[0]}")
        self._octets += length
        if tag == SKESK:
            self._skesk += 1
        else:
            self._pkesk += 1
            if not _check_pkesk(length, beginning):
                self._unknown += length
        if self._pkesk > MAX_PKESK or self._skesk > MAX_SKESK:
            raise NotEncrypted("too many session-key packets")
        if self._octets > MAX_OCTETS or self._unknown > MAX_UNKNOWN:
            raise NotEncrypted("too many octets of session keys")


def _check_pkesk(length: int, beginning: bytes) -> bool:
    """Return whether its algorithm is known; raises NotEncrypted if it is not of that size."""
    version = beginning[0]
    at = 9
    if version == 6:
        at = 2 + beginning[1]
        if beginning[1] and (beginning[1], beginning[2]) not in _FINGERPRINTS:
            raise NotEncrypted("a PKESK packet with an implausible fingerprint")
    known = version in (3, 6) and at < len(beginning) and beginning[at] in _ALGORITHMS
    size = _ALGORITHMS[beginning[at]] if known else _UNKNOWN
    rest = length - at - 1
    if not size.least <= rest <= size.most or (known and not _fits(rest, beginning, at)):
        raise NotEncrypted("a PKESK packet of a size that its algorithm does not have")
    return known


def _fits(rest: int, beginning: bytes, at: int) -> bool:
    """Return whether the number with which the key begins, if it does, leaves what it should."""
    algorithm = beginning[at]
    if algorithm not in (*_RSA, _ELGAMAL, _ECDH):
        return True
    bits = int.from_bytes(beginning[at + 1 : at + 3], "big")
    left = rest - 2 - (bits + 7) // 8
    if algorithm in _RSA:
        return left == 0
    return 2 + 64 <= left <= 2 + 512 if algorithm == _ELGAMAL else 1 + 24 <= left <= 1 + 64
