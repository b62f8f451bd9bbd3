"""One message on its way through: pieces of the client's DATA in, the octets to pass on out.

The header block is held until it is whole (`header`) and its verdict is there; `begin` then says in
what form it goes on, and what judges the body. From there on octets go out as they come in. The
final dot is never among them: whoever drives this sends it once all verdicts are there.
"""

from collections.abc import Sequence
from typing import Protocol

from filtermail.gate.grammar import Body
from filtermail.gate.headers import MAX_BLOCK
from filtermail.gate.verdict import Malformed, TooBig
from relay.smtp.datastream import Piece, stuff


class Observer(Protocol):
    """Looks at a body beside the gate, as DKIM does to hash it."""

    def feed(self, content: bytes, /) -> None:
        """Take the next octets, dots undone."""

    async def conclude(self) -> None:
        """The body has ended; raises Refusal. May wait, for instance for a key."""


class Message:
    """The state of one message. `limit` is the most octets it may have, dots not counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = bytearray()
        self._rest = b""
        self._body: Body | None = None
        self._observers: Sequence[Observer] = ()
        self.header: bytes | None = None
        """The header block without the empty line that ends it, once it is whole."""
        self.size = 0
        self.ended = False

    def feed(self, piece: Piece) -> bytes:
        """Take the next piece; the octets to pass on, none before `begin`. Raises Refusal."""
        self.ended = piece.ended
        content = piece.content
        room = self._limit - self.size
        self.size += len(content)
        if len(content) > room:
            return self._overflow(content[:room])
        if self._body is None:
            self._hold(content)
            return b""
        self._look(content)
        if piece.ended:
            self._body.finish()
        return piece.wire

    def begin(self, block: bytes, body: Body, observers: Sequence[Observer] = ()) -> bytes:
        """Let the header pass as `block`, and judge what came of the body; the octets to pass on.

        Raises Refusal.
        """
        self._body, self._observers = body, observers
        content, self._rest = self._rest, b""
        if self.size > self._limit:
            self._look(content)
            raise TooBig(self._limit)
        if self.ended and not observers:
            body.whole(content)
        else:
            self._look(content)
            if self.ended:
                body.finish()
        return stuff(block) + b"\r\n" + stuff(content)

    def _overflow(self, content: bytes) -> bytes:
        """Refuse what is too big, unless the part within the limit has a fault: that came first."""
        content = content.removesuffix(b"\r")
        if self._body is not None:
            self._look(content)
            raise TooBig(self._limit)
        self._hold(content)
        if self.header is None:
            raise TooBig(self._limit)
        return b""  # `begin` refuses it

    def _hold(self, content: bytes) -> None:
        """Keep what came of the header, and of the body behind it."""
        if self.header is not None:
            self._rest += content
            return
        searched = max(len(self._head) - 3, 0)
        self._head.extend(content)
        end = self._head.find(b"\r\n\r\n", searched)
        if end < 0 and self.ended and self.size <= self._limit:
            # A message may consist of a header block alone (RFC 5322, 3.5).
            end = max(len(self._head) - 2, 0)
        if (len(self._head) if end < 0 else end) > MAX_BLOCK:
            raise Malformed("a header block that is too long")
        if end >= 0:
            self.header, self._rest = bytes(self._head[: end + 2]), bytes(self._head[end + 4 :])
            self._head.clear()

    def _look(self, content: bytes) -> None:
        assert self._body is not None
        self._body.feed(content)
        for observer in self._observers:
            observer.feed(content)
