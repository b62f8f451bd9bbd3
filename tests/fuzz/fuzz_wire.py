"""Fuzz target: where DATA ends, and its dots.

1. However the octets are cut, what comes out is what one look at the whole of them says.
2. Nothing of the final dot's line comes out as content, and nothing is lost: what was passed on,
   the final dot and the rest are the input.
3. No exception.
"""

from relay.smtp.datastream import DataStream
from tests.fuzz.choices import Choices
from tests.fuzz.feeding import splits


def check(data: bytes) -> None:
    """Hold one input against the invariants."""
    choices = Choices(data)
    splitting = Choices(choices.octets(8))
    dotted = choices.below(2) == 0
    octets = choices.rest()
    if dotted:
        # Few octets get by chance what is at stake: a small alphabet.
        octets = bytes(b"\r\n.a"[octet % 4] for octet in octets)
    wire, content, rest = _reference(octets)
    for pieces in splits(splitting, octets):
        stream, passed, seen = DataStream(), b"", b""
        for number, piece in enumerate(pieces):
            result = stream.feed(piece)
            passed, seen = passed + result.wire, seen + result.content
            if result.ended:
                assert rest is not None, "an end where none is"
                assert (passed, seen) == (wire, content)
                assert result.rest + b"".join(pieces[number + 1 :]) == rest
                break
            assert result.rest == b""
        else:
            assert rest is None, "the end was not seen"
            assert wire.startswith(passed)
            assert content.startswith(seen)
            assert len(wire) - len(passed) <= 4


def _reference(octets: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Line by line (RFC 5321, 4.5.2): what is passed on, its content, and what follows the end."""
    lines = octets.split(b"\r\n")
    content: list[bytes] = []
    for number, line in enumerate(lines):
        if line == b"." and number < len(lines) - 1:
            wire = b"".join(line + b"\r\n" for line in lines[:number])
            read = b"".join(line + b"\r\n" for line in content)
            return wire, read, b"\r\n".join(lines[number + 1 :])
        content.append(line.removeprefix(b"."))
    return octets, b"\r\n".join(content), None
