"""Why a message passes the gate, or does not: `postern explain`.

The gate itself is asked, with the message fed to it line by line, so that a refusal has a line.
"""

import re
from dataclasses import dataclass

from filtermail.gate.content import author, content_type
from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.headers import Headers
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Malformed, NotEncrypted, Refusal
from postern.explain.packets import Packet, list_packets
from relay.address import Address
from relay.smtp.datastream import stuff
from relay.smtp.reply import Reply

AUTHOR = "author"
"""In place of an envelope sender: the address in From."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of a message, and why."""

    reply: Reply
    place: str
    """Where it was refused: its header, or a line (from 1) with its text shortened; or empty."""
    packets: tuple[Packet, ...]
    packet_fault: str
    """Why no more packets are listed; empty if all are."""

    @property
    def accepted(self) -> bool:
        """Whether the message passes."""
        return self.reply.accepts


def explain(
    content: bytes, direction: Direction, limit: int, sender: Address | str | None = AUTHOR
) -> Explanation:
    """Judge a message as a relay would. A `sender` of None is the null sender, `<>`.

    Lines may end in LF, as saved messages often do; dots are as in the message, not stuffed.
    `limit` is in bytes.
    """
    content = re.sub(rb"\r?\n", b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    lines = content.split(b"\r\n")[:-1]
    envelope = Envelope(_author(lines) if isinstance(sender, str) else sender, ())
    message = Trial(envelope, direction, limit)
    packets, fault = list_packets(content)
    for number, line in enumerate([*lines, b"."]):
        wire = line if number == len(lines) else stuff(line)
        try:
            message.feed(wire + b"\r\n")
        except Refusal as refusal:
            # A line is complete once the next has begun, so the fault is in the one before.
            named = isinstance(refusal, NotEncrypted | Malformed)
            place = _place(lines, number - 1) if named else ""
            return Explanation(refusal.reply, place, packets, fault)
    return Explanation(Reply(250, (f"It passes as {_kind(lines)}.",)), "", packets, fault)


def _place(lines: list[bytes], at: int) -> str:
    if b"" not in lines or at <= lines.index(b""):
        return "the header"
    return f"line {at + 1}: " + lines[at][:72].decode("utf-8", "replace")


def _kind(lines: list[bytes]) -> str:
    """What an accepted message is: besides encrypted ones, two kinds of cleartext pass."""
    headers = _headers(lines)
    try:
        if content_type(headers).media == b"multipart/encrypted":
            return "an encrypted message"
        if headers.one(b"secure-join") is not None:
            return "a request to join in cleartext (securejoin), which has to precede encryption"
    except Malformed:
        pass  # of a bounce, which only has to look like one
    return "a delivery report (bounce), in cleartext"


def _author(lines: list[bytes]) -> Address | None:
    try:
        return author(_headers(lines))
    except Malformed:
        return None


def _headers(lines: list[bytes]) -> Headers:
    """Raises Malformed."""
    head = lines[: lines.index(b"")] if b"" in lines else lines
    return Headers.parse(b"".join(line + b"\r\n" for line in head))
