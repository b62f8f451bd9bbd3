"""What every target asks of the machines: however octets are cut, one answer; no surprise."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.packets import PacketWalker
from filtermail.gate.reader import Grammar, Machine, Reader
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Refusal
from relay.address import Address
from relay.smtp.reply import Reply
from tests.filtermail.gate.building import LIMIT, SENDER
from tests.fuzz.choices import Choices

SMALL = 4096
"""Octets up to which an input is also fed one at a time."""


class Verdict(NamedTuple):
    """What was answered, None for yes, and what went on."""

    refusal: Reply | None
    out: bytes


def splits(choices: Choices, data: bytes) -> Iterator[list[bytes]]:
    """Ways to cut the same octets, the first one whole."""
    yield [data]
    if len(data) <= SMALL:
        yield [data[at : at + 1] for at in range(len(data))]
    step = choices.pick([64, 2, 3, 7, 66, 1000]) + choices.below(16)
    yield [data[at : at + step] for at in range(0, len(data), step)]
    at = choices.below(len(data) or 1)
    yield [data[:at], data[at:]]


def same_verdict(
    judged: Callable[[list[bytes]], Verdict], choices: Choices, data: bytes
) -> Verdict:
    """The one verdict on these octets, however they are cut."""
    verdicts = [judged(pieces) for pieces in splits(choices, data)]
    for verdict in verdicts:
        assert verdict.refusal == verdicts[0].refusal, f"{verdicts[0]} whole, {verdict} in pieces"
        # What was passed on before a refusal depends on the pieces, and is never used.
        assert verdict.refusal is not None or verdict == verdicts[0]
    return verdicts[0]


def to_message(direction: Direction, limit: int = LIMIT) -> Callable[[list[bytes]], Verdict]:
    """Judges the wire form of a message."""

    def judged(pieces: list[bytes]) -> Verdict:
        message = Trial(Envelope(Address.parse(SENDER), ()), direction, limit)
        out, refusal = b"", None
        for piece in pieces:
            try:
                out += message.feed(piece)
            except Refusal as error:
                assert refusal is None, "a message is refused twice"
                refusal = error.reply
        assert message.ended
        assert message.rest == b""
        return Verdict(refusal, out)

    return judged


def to_grammar(begin: Callable[[Reader], Grammar]) -> Callable[[list[bytes]], Verdict]:
    """Judges a body by a grammar of the gate."""

    def judged(pieces: list[bytes]) -> Verdict:
        reader = Reader()
        try:
            machine = Machine(reader, begin(reader))
            for piece in pieces:
                machine.feed(piece)
            machine.finish()
        except Refusal as error:
            return Verdict(error.reply, b"")
        return Verdict(None, b"")

    return judged


def to_packets(pieces: list[bytes]) -> Verdict:
    """Judges a sequence of packets; what the walker does not want to see it is not shown."""
    walker = PacketWalker()
    try:
        for piece in pieces:
            if 0 < len(piece) <= walker.skip:
                walker.pass_over(len(piece))
            else:
                walker.feed(piece)
        walker.finish()
    except Refusal as error:
        return Verdict(error.reply, b"")
    return Verdict(None, b"")


def stuffed(content: bytes) -> bytes:
    """A content as it is on the wire, without the final dot (RFC 5321, 4.5.2)."""
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
