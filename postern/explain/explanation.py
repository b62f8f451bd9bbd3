"""Why a message passes the gate, or does not: `postern explain`.

The gate itself is asked, with the message fed to it line by line, so that the place of a refusal
is a line. PGPy then lists the packets, whatever the verdict: it is lenient where the gate is not.
"""

import re
import warnings
from dataclasses import dataclass

from filtermail.gate.content import author
from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.headers import Headers
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Malformed, NotEncrypted, Refusal
from relay.address import Address
from relay.smtp.datastream import stuff
from relay.smtp.reply import Reply

ACCEPTED = Reply(250, ("it passes",))
_ARMOUR = re.compile(rb"-----BEGIN PGP MESSAGE-----\r\n.*?-----END PGP MESSAGE-----\r\n", re.DOTALL)
_NAMES = {
    1: "PKESK",
    2: "signature",
    3: "SKESK",
    8: "compressed data",
    9: "SED",
    11: "literal data",
}
_NAMES |= {18: "SEIPD", 20: "AEAD (GnuPG's, not in any standard)"}


@dataclass(frozen=True, slots=True)
class Packet:
    """An OpenPGP packet, as far as its header tells."""

    tag: int
    name: str
    version: int | None
    octets: int
    """Of the whole packet, its header and the headers of its partial chunks included."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of a message, and why."""

    reply: Reply
    place: str
    """Where it was refused: its header, or a line (from 1) with its text shortened; or empty."""
    packets: tuple[Packet, ...]
    packet_fault: str
    """Why PGPy lists no more packets; empty if it read them all."""

    @property
    def accepted(self) -> bool:
        """Whether the message passes."""
        return self.reply.accepts


def explain(
    content: bytes, direction: Direction, limit: int, sender: Address | None = None
) -> Explanation:
    """Judge a message as a relay would; without a `sender`, the author is taken for it.

    Lines may end in LF, as saved messages often do; dots are as in the message, not stuffed.
    `limit` is in bytes.
    """
    content = re.sub(rb"\r?\n", b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    lines = content.split(b"\r\n")[:-1]
    envelope = Envelope(sender or _author(lines), ())
    message = Trial(envelope, direction, limit)
    packets, fault = _packets(content)
    for number, line in enumerate([*lines, b"."]):
        wire = line if number == len(lines) else stuff(line)
        try:
            message.feed(wire + b"\r\n")
        except Refusal as refusal:
            # A line is complete once the next has begun: the one before is found fault with.
            named = isinstance(refusal, NotEncrypted | Malformed)
            place = _place(lines, number - 1) if named else ""
            return Explanation(refusal.reply, place, packets, fault)
    return Explanation(ACCEPTED, "", packets, fault)


def _place(lines: list[bytes], at: int) -> str:
    if b"" not in lines or at <= lines.index(b""):
        return "the header"
    return f"line {at + 1}: " + lines[at][:72].decode("utf-8", "replace")


def _author(lines: list[bytes]) -> Address | None:
    head = lines[: lines.index(b"")] if b"" in lines else lines
    try:
        return author(Headers.parse(b"".join(line + b"\r\n" for line in head)))
    except Malformed:
        return None


def _packets(content: bytes) -> tuple[tuple[Packet, ...], str]:
    armour = _ARMOUR.search(content)
    if armour is None:
        return (), "there is no PGP armour"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PGPy's imports warn of ciphers it knows
        from pgpy.packet import Packet as PGPyPacket
        from pgpy.types import Armorable

        found: list[Packet] = []
        try:
            text = armour[0].replace(b"\r\n", b"\n").decode("ascii")
            data = bytearray(Armorable.ascii_unarmor(text)["body"])
            while data:
                before = len(data)
                header = PGPyPacket(data).header
                name = _NAMES.get(header.tag, "unknown")
                version = getattr(header, "version", None)
                found.append(Packet(int(header.tag), name, version, before - len(data)))
        except Exception as error:  # noqa: BLE001 - PGPy raises whatever, and this is its opinion
            return tuple(found), f"PGPy reads no further: {error}"
        return tuple(found), ""
