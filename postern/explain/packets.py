"""The OpenPGP packets in a message's armour, listed as far as they can be read. Pure.

Lenient where the gate is strict: it lists what is there, whether or not a relay carries it
(RFC 9580, 4.2 and 6.2).
"""

import base64
import binascii
import re
from dataclasses import dataclass

_ARMOUR = re.compile(
    rb"-----BEGIN PGP MESSAGE-----\r\n(?:[^\r\n:]+: ?[^\r\n]*\r\n)*\r\n?"
    rb"(.*?)(?:\r\n=[A-Za-z0-9+/]{4})?\r\n-----END PGP MESSAGE-----\r\n",
    re.DOTALL,
)
_NAMES = {
    1: "PKESK",
    2: "signature",
    3: "SKESK",
    8: "compressed data",
    9: "SED",
    11: "literal data",
    18: "SEIPD",
    20: "AEAD (GnuPG's, not in any standard)",
}
_VERSIONED = (1, 2, 3, 18, 20)


@dataclass(frozen=True, slots=True)
class Packet:
    """An OpenPGP packet, as its header describes it."""

    tag: int
    name: str
    version: int | None
    octets: int
    """Of the whole packet, its header and the headers of its partial chunks included."""


class Unreadable(Exception):
    """There are no more packets to list; the message says why."""


def list_packets(content: bytes) -> tuple[tuple[Packet, ...], str]:
    """List the packets in the first armour of a message with CRLF line ends.

    Also returns why there are no more; empty if all were read.
    """
    found: list[Packet] = []
    try:
        data = _dearmoured(content)
        at = 0
        while at < len(data):
            packet = _packet(data, at)
            found.append(packet)
            at += packet.octets
    except Unreadable as fault:
        return tuple(found), str(fault)
    return tuple(found), ""


def _dearmoured(content: bytes) -> bytes:
    armour = _ARMOUR.search(content)
    if armour is None:
        raise Unreadable("there is no PGP armour")
    try:
        return base64.b64decode(armour[1].replace(b"\r\n", b""), validate=True)
    except binascii.Error:
        raise Unreadable("the PGP armour is not base64") from None


def _packet(data: bytes, start: int) -> Packet:
    first = data[start]
    if not first & 0x80:
        raise Unreadable(f"at octet {start} no packet begins")
    is_legacy = not first & 0x40
    tag = first >> 2 & 0x0F if is_legacy else first & 0x3F
    body, end = _legacy(data, start) if is_legacy else _current(data, start + 1)
    if end > len(data):
        raise Unreadable(f"the packet at octet {start} is cut short")
    version = data[body] if tag in _VERSIONED and body < end else None
    return Packet(tag, _NAMES.get(tag, "unknown"), version, end - start)


def _legacy(data: bytes, start: int) -> tuple[int, int]:
    """Where a packet in the legacy format has its body, and where it ends (4.2.2)."""
    size = 1 << (data[start] & 3)
    if size == 8:
        return start + 1, len(data)
    body = start + 1 + size
    return body, body + int.from_bytes(data[start + 1 : body], "big")


def _current(data: bytes, at: int) -> tuple[int, int]:
    """The same for the current format, through all partial chunks (4.2.1)."""
    begins = None
    while at < len(data):
        first, size = data[at], 1
        if first < 192:
            length = first
        elif first < 224:
            length, size = (
                (first - 192 << 8) + int.from_bytes(data[at + 1 : at + 2], "big") + 192,
                2,
            )
        elif first == 255:
            length, size = int.from_bytes(data[at + 1 : at + 5], "big"), 5
        else:
            length = 1 << (first & 0x1F)
        begins = at + size if begins is None else begins
        at += size + length
        if not 224 <= first < 255:
            return begins, at
    # More is to follow a partial chunk, and nothing does.
    return begins or at, len(data) + 1
