"""Decisions read off octets, so that a fuzzer that mutates octets mutates what is built by them.

The same octets make the same decisions on every machine, with or without a fuzzer. When they have
run out, every further decision is the first one, which by convention is the plain, valid one.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads decisions from the front of `data`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def octets(self, count: int) -> bytes:
        """The next octets as they are; fewer at the end."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.octets(len(self._data))

    def below(self, limit: int) -> int:
        """A number from 0 up to and without `limit`."""
        width = 1 if limit <= 256 else 4
        return int.from_bytes(self.octets(width), "big") % limit

    def pick(self, options: Sequence[T]) -> T:
        """One of them, the first one where nothing is left."""
        return options[self.below(len(options))]

    def rarely(self) -> bool:
        """True once in a while, False where nothing is left."""
        return self.below(256) >= 224
