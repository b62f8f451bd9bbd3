"""Reading an incoming stream with straight-line code: the ground under the grammars.

A grammar here is a generator. It asks a `Reader` for the next line or block, and where the
reader has not got it yet, the generator is suspended until `Machine.feed` brings more. So the
order of the code is the order of the message, there are no hand-made states, and it makes no
difference how the bytes were split on their way.
"""

from collections.abc import Generator

from filtermail.gate.verdict import NotEncrypted

MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5322, 2.1.1)."""
MAX_EMPTY = 4
"""Empty lines in a row where nothing else may stand."""

Grammar = Generator[None, None, None]
"""Yields where it needs more bytes, returns where the stream must end, raises Refusal."""


class Reader:
    """The bytes that have come and are not yet read."""

    def __init__(self) -> None:
        self.buffer = b""
        self.at_end = False

    def line(self, fault: str = "a line that is too long") -> Generator[None, None, bytes]:
        """The next line, without its CRLF; `fault` is what is said of one that is too long."""
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > MAX_LINE + 1:
                raise NotEncrypted(fault)
            yield from self.more()
        line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
        if len(line) > MAX_LINE:
            raise NotEncrypted(fault)
        return line

    def more(self) -> Grammar:
        """Wait until the buffer has grown."""
        if self.at_end:
            raise NotEncrypted("the message ends too early")
        size = len(self.buffer)
        while len(self.buffer) == size:
            yield
            if self.at_end:
                raise NotEncrypted("the message ends too early")

    def only_empty(self, fault: str) -> Grammar:
        """A few empty lines up to the end of the stream; `fault` is what is said of others."""
        for _ in range(MAX_EMPTY + 1):
            while not self.buffer:
                if self.at_end:
                    return
                yield
            if (yield from self.line()):
                raise NotEncrypted(fault)
        raise NotEncrypted("too many empty lines")


class Machine:
    """Drives a grammar with the bytes as they come."""

    def __init__(self, reader: Reader, grammar: Grammar) -> None:
        self._reader = reader
        self._grammar = grammar
        self._complete = False
        self._run()

    def feed(self, data: bytes) -> None:
        """Bring the next bytes; raises what the grammar raises."""
        if not data:
            return
        reader = self._reader
        reader.buffer = reader.buffer + data if reader.buffer else data
        self._run()

    def finish(self) -> None:
        """Say that there are no more bytes; raises Refusal unless the grammar is complete."""
        self._reader.at_end = True
        if not self._complete:
            self._run()

    def whole(self, data: bytes) -> None:
        """Bring all the bytes at once; raises what the grammar raises."""
        self.feed(data)
        self.finish()

    def _run(self) -> None:
        if not self._complete:
            try:
                next(self._grammar)
            except StopIteration:
                self._complete = True
        if self._complete and self._reader.buffer:
            raise NotEncrypted("something after the end of the message")
