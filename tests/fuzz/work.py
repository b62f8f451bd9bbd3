"""How much work a message is, counted and not timed: calls, and octets that were touched.

Calls are those of Python's functions and of C's, told by the interpreter's profiler. A call may
cost as much as its octets are long, so these are counted too: what is fed are `Counted` bytes,
whose every copy, search and comparison adds its length. What a regular expression does inside of
one match cannot be seen in this way; `tests/fuzz/test_work.py` bounds that by a deadline.
"""

import sys
from types import FrameType
from typing import Any, NamedTuple

from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Refusal
from relay.address import Address
from tests.filtermail.gate.building import LIMIT, SENDER

CALLS_A_PIECE, CALLS_AN_OCTET = 300, 0.3
OCTETS_A_PIECE, OCTETS_AN_OCTET = 20_000, 30
AT_LEAST = 5_000
"""The most a message may cost. An honest one takes 140 calls per piece, whatever its size, and
touches each octet 11 times; the worst inputs known (many session keys, quoted-printable)
take 0.08 calls per octet, or touch each 13 times. `scripts/bench gate` has the time of it."""


class Work(NamedTuple):
    """What one message has cost."""

    calls: int
    octets: int


class Counted(bytes):
    """Bytes that count how many of them were looked at or copied, they and what is made of them."""

    touched = 0

    def _made(self, result: bytes) -> "Counted":
        Counted.touched += len(result)
        return Counted(result)

    def __add__(self, other: Any) -> "Counted":
        return self._made(bytes.__add__(self, other))

    def __radd__(self, other: bytes) -> "Counted":
        return self._made(bytes.__add__(bytes(other), self))

    def __getitem__(self, key: Any) -> Any:
        result = bytes.__getitem__(self, key)
        return self._made(result) if isinstance(key, slice) else result


def _counted(name: str) -> Any:
    method = getattr(bytes, name)

    def wrapper(self: Counted, *arguments: Any) -> Any:
        Counted.touched += len(self)
        result = method(self, *arguments)
        if isinstance(result, bytes):
            return Counted(result)
        if isinstance(result, tuple):
            return tuple(map(Counted, result))
        return result

    return wrapper


for _name in ("replace", "translate", "strip", "lower", "partition", "removesuffix", "count",
              "rfind", "__eq__", "__hash__"):  # fmt: skip
    setattr(Counted, _name, _counted(_name))


def _find(self: Counted, *arguments: Any) -> int:
    """A search ends where it finds."""
    found = bytes.find(self, *arguments)
    start = arguments[1] if len(arguments) > 1 else 0
    Counted.touched += (len(self) if found < 0 else found) - start
    return found


setattr(Counted, "find", _find)  # noqa: B010 - as the others


def work(wire: bytes, direction: Direction, step: int) -> Work:
    """Feed the wire form of a message in pieces of `step` octets."""
    message = Trial(Envelope(Address.parse(SENDER), ()), direction, LIMIT)
    pieces = [Counted(wire[at : at + step]) for at in range(0, len(wire), step)]
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    Counted.touched = 0
    before = sys.getprofile()
    for piece in pieces:
        sys.setprofile(count)
        try:
            message.feed(piece)
        except Refusal:
            pass
        finally:
            sys.setprofile(before)
    return Work(calls, Counted.touched)


def check_work(wire: bytes, direction: Direction, step: int = 1000) -> None:
    """Assert that it is linear in the octets and in the pieces they come in."""
    done = work(wire, direction, step)
    pieces = len(wire) // step + 1
    calls = AT_LEAST + CALLS_A_PIECE * pieces + CALLS_AN_OCTET * len(wire)
    octets = AT_LEAST + OCTETS_A_PIECE * pieces + OCTETS_AN_OCTET * len(wire)
    assert done.calls <= calls, f"{done.calls} calls for {len(wire)} octets"
    assert done.octets <= octets, f"{done.octets} octets touched for {len(wire)}"
