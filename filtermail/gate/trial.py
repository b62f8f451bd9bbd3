"""A message judged by the gate alone, from its wire form: for `postern explain`, tests and fuzzing.

What needs the world is left out: whether recipients exist and what they want, who sends how much.
"""

from filtermail.gate.content import author_text
from filtermail.gate.grammar import Body, Direction, Envelope, Everything, open_gate
from filtermail.gate.headers import Headers
from filtermail.gate.message import Message
from filtermail.gate.verdict import Refusal
from relay.smtp.datastream import DataStream


class Trial:
    """One message. `limit` is the most octets it may have, dots not counted."""

    def __init__(
        self, envelope: Envelope, direction: Direction, limit: int, *, cleartext: bool = False
    ) -> None:
        """`cleartext`: its recipients take cleartext as well."""
        self._cleartext = cleartext
        self._envelope = envelope
        self._direction = direction
        self._stream = DataStream()
        self._message = Message(limit)
        self._begun = False
        self._refused = False
        self.ended = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next octets off the wire; those to pass on. Raises Refusal, once."""
        piece = self._stream.feed(data)
        self.ended, self.rest = piece.ended, piece.rest
        if self._refused:
            return b""
        try:
            out = self._message.feed(piece)
            header = self._message.header
            return out if self._begun or header is None else self._begin(header)
        except Refusal:
            self._refused = True
            raise

    def _begin(self, block: bytes) -> bytes:
        self._begun = True
        headers = Headers.parse(block)
        body: Body = (
            Everything() if self._cleartext else open_gate(headers, self._envelope, self._direction)
        )
        if self._direction is Direction.OUTGOING:
            return self._message.begin(headers.outgoing(author_text(headers)), body)
        return self._message.begin(headers.unchanged(), body)
