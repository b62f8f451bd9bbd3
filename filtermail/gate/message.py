"""One message on its way through: the client's bytes in, the bytes to pass on out.

The header block is held until the gate has judged it and, outgoing, has been cleansed; from
then on bytes go out as they come in. The final dot is never among them: whoever drives this
sends it once `ended` is reached without a Refusal.

After a Refusal the rest is only read to its end (`feed` goes on to be called), because what
follows DATA must never be taken for commands. A refusal as not encrypted can be lifted by the
recipients (`let_through`); for that, what that call would have passed on is kept.
"""

from typing import NoReturn

from filtermail.gate.content import author_text
from filtermail.gate.grammar import Body, Direction, Envelope, Everything, open_gate
from filtermail.gate.headers import MAX_BLOCK, Headers
from filtermail.gate.verdict import Malformed, Refusal, TooBig
from relay.smtp.datastream import DataStream, stuff


class Message:
    """The state of one message. `limit` is the most octets it may have, dots not counted."""

    def __init__(self, envelope: Envelope, direction: Direction, limit: int) -> None:
        self._envelope = envelope
        self._direction = direction
        self._limit = limit
        self._stream = DataStream()
        self._head = bytearray()
        self._body: Body | None = None
        self._refused = False
        self._withheld = b""
        self.size = 0
        self.ended = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next octets off the wire; those to pass on. Raises Refusal, once."""
        piece = self._stream.feed(data)
        self.ended, self.rest = piece.ended, piece.rest
        if self._refused:
            return b""
        try:
            room = self._limit - self.size
            self.size += len(piece.content)
            if len(piece.content) > room:
                self._overflow(piece.content[:room])
            out = self._judge(piece.wire, piece.content)
            if piece.ended:
                out += self._finish()
        except Refusal:
            self._refused = True
            raise
        self._withheld = b""
        return out

    def let_through(self) -> bytes:
        """Lift a NotEncrypted that `feed` just raised; the octets it would have passed on.

        Raises Malformed where even cleartext must not look like this, and TooBig.
        """
        if self.size > self._limit:
            raise TooBig(self._limit)
        out, self._withheld = self._withheld, b""
        _check_line_ends(out)
        self._refused = False
        self._body = Everything()
        return out

    def _overflow(self, content: bytes) -> NoReturn:
        """Refuse what is too big, unless the part that is not has a fault: that came first."""
        self._judge(b"", content.removesuffix(b"\r"))
        raise TooBig(self._limit)

    def _judge(self, wire: bytes, content: bytes) -> bytes:
        if self._body is None:
            return self._header(content)
        self._withheld = wire
        self._look(content)
        return wire

    def _header(self, content: bytes) -> bytes:
        head = self._head
        searched = max(len(head) - 3, 0)
        head += content
        end = head.find(b"\r\n\r\n", searched)
        if (len(head) if end < 0 else end) > MAX_BLOCK:
            raise Malformed("a header block that is too long")
        if end < 0:
            return b""
        return self._open(bytes(head[: end + 2]), bytes(head[end + 4 :]))

    def _open(self, block: bytes, body: bytes) -> bytes:
        """Judge the header block, and the beginning of the body that came with it."""
        self._head.clear()
        headers = Headers.parse(block)
        rest = b"\r\n" + stuff(body)
        self._withheld = stuff(headers.unchanged()) + rest
        self._body = open_gate(headers, self._envelope, self._direction)
        self._look(body)
        if self._direction is Direction.INCOMING:
            return self._withheld
        return stuff(headers.outgoing(author_text(headers))) + rest

    def _look(self, content: bytes) -> None:
        assert self._body is not None
        if isinstance(self._body, Everything):
            _check_line_ends(content)
        self._body.feed(content)

    def _finish(self) -> bytes:
        # A message may consist of a header block alone (RFC 5322, 3.5).
        out = self._open(bytes(self._head), b"") if self._body is None else b""
        assert self._body is not None
        self._body.finish()
        return out


def _check_line_ends(content: bytes) -> None:
    """Raise Malformed at a bare CR or LF, which the next server might take for a line's end."""
    ends = content.count(b"\r\n")
    # A CR at the very end is never there: DataStream keeps it back until its LF has come.
    if content.count(b"\n") != ends or content.count(b"\r") != ends:
        raise Malformed("a line that ends in a bare CR or LF")
