"""SMTP and LMTP on sockets: a thin asyncio edge over `relay.smtp.commands`.

Commands are answered in the callback that brings them: no task and no timer per command. A message
has one task, which asks its `Source` for pieces and returns the reply. Where that task ends early,
because the message is refused, the rest is read to its dot all the same and only then answered:
what is left of a message must never be read as commands.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from relay.log import unexpected
from relay.smtp.commands import CLOSING, Begin, Dialogue, Rules, Transaction
from relay.smtp.datastream import Piece
from relay.smtp.reply import Reply
from relay.smtp.turns import Turns
from relay.smtp.watch import Watch

log = logging.getLogger(__name__)

CHUNK = 32 * 1024
"""Octets that are read at a time: more would not fit the processor's cache with what is made of
them, fewer would cost a system call more often than needed."""
SMALL = 8 * 1024
"""Octets of a message that never waits for others."""
IDLE_SECONDS = 300.0
"""A client that says nothing for so long is hung up on (RFC 5321, 4.5.3.2.7)."""
GRACE_SECONDS = 0.3
"""Once the service is to end, for a client that has just connected to begin its message."""
INTERNAL = Reply(451, ("4.3.0 Internal error, try again later",))
_IDLE = b"421 4.4.2 Idle for too long\r\n"


class Source:
    """The pieces of one message, for the one task that reads them."""

    def __init__(self, taken: Callable[[], None], turns: Turns) -> None:
        self._pieces: deque[Piece] = deque()
        self._turns = turns
        self._octets = 0
        self._waiter: asyncio.Future[None] | None = None
        self._taken = taken
        self.ended = False

    @property
    def is_full(self) -> bool:
        """Whether what was put is to be read before more is."""
        return len(self._pieces) > 1

    async def read(self) -> Piece:
        """The next piece. Where the client has gone, the task that waits here is cancelled.

        A message that is not small takes turns with others like it.
        """
        while not self._pieces:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        octets = len(self._pieces[0].wire)
        self._octets += octets
        if self._octets > SMALL:
            await self._turns.take(octets)
        was_full = self.is_full
        piece = self._pieces.popleft()
        if was_full:
            self._taken()
        return piece

    def put(self, piece: Piece) -> None:
        """Add what has come."""
        self.ended = piece.ended
        self._pieces.append(piece)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


Deliver = Callable[[Source, Transaction], Awaitable[Sequence[Reply]]]
"""Takes a message and returns the replies to it: one, or with LMTP one per recipient."""


class Server:
    """What the sessions of one service share."""

    def __init__(self, rules: Rules, deliver: Deliver) -> None:
        self.rules = rules
        self.deliver = deliver
        self.watch = Watch()
        self.sessions: set[_Session] = set()
        self.turns = Turns(self.sessions)
        self._left = asyncio.Event()
        # Filled and emptied within one callback, so that one serves all sessions.
        self.buffer = memoryview(bytearray(CHUNK))

    def session(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection."""
        return _Session(self)

    async def drain(self, seconds: float) -> None:
        """End every session: after a moment, or after the message that is under way."""
        await self._all_left(GRACE_SECONDS)
        for session in list(self.sessions):
            session.drain()
        await self._all_left(seconds)
        self.watch.close()

    async def _all_left(self, seconds: float) -> None:
        """Wait until there is no session, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.sessions:
                    self._left.clear()
                    await self._left.wait()

    def joined(self, session: "_Session") -> None:
        """A client has come."""
        self.sessions.add(session)
        self.watch.add(session)

    def left(self, session: "_Session") -> None:
        """A client has gone."""
        self.sessions.discard(session)
        self.watch.discard(session)
        self._left.set()


class _Session(asyncio.BufferedProtocol):
    """One client's connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._dialogue = Dialogue(server.rules)
        self._source: Source | None = None
        self._transaction: Transaction | None = None
        self._task: asyncio.Task[None] | None = None
        self._replies: Sequence[Reply] | None = None
        self._heard = self._loop.time()
        self._draining = False
        self._closing = False
        self._reading = True
        self._writable = True
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._server.joined(self)
        self._transport.write(self._server.rules.banner)

    def connection_lost(self, _error: Exception | None) -> None:
        self._closing = True
        self._server.left(self)
        if self._task is not None:
            # Nobody waits for the answer, and a message without its dot is none.
            self._task.cancel()

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._server.buffer

    def buffer_updated(self, count: int) -> None:
        self._heard = self._loop.time()
        try:
            self._dialogue.receive(bytes(self._server.buffer[:count]))
            self._turn()
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the service
            unexpected(log, "an SMTP command", error)
            self._hang_up(INTERNAL.encode())

    def pause_writing(self) -> None:
        self._writable = False
        self._set_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._set_reading()

    def drain(self) -> None:
        """End the session: now, or after the message that is under way (RFC 5321, 3.8)."""
        self._draining = True
        self._end_if_drained()

    def look(self, now: float) -> None:
        """Hang up on a client that has said nothing for too long."""
        if self._closing or now - self._heard < IDLE_SECONDS:
            return
        if self._transport.get_write_buffer_size():
            # It does not even read.
            self._transport.abort()
        elif self._source is None or not self._source.ended:
            self._hang_up(_IDLE)

    def _turn(self) -> None:
        """Act on all events that there are."""
        while not self._closing and (event := self._dialogue.next()) is not None:
            if isinstance(event, bytes):
                self._transport.write(event)
                if self._draining:
                    self._end_if_drained()
            elif isinstance(event, Piece):
                self._take(event)
            elif isinstance(event, Begin):
                self._transport.write(event.octets)
                self._source = Source(self._set_reading, self._server.turns)
                self._transaction = event.transaction
            else:
                self._hang_up(event.octets)
        self._set_reading()

    def _take(self, piece: Piece) -> None:
        """Give a piece to the message's task, which begins with the first one."""
        assert self._source is not None
        if self._replies is not None:
            self._source.ended = piece.ended
            self._conclude_if_ended()
            return
        self._source.put(piece)
        if self._task is None:
            self._task = self._loop.create_task(self._deliver())

    async def _deliver(self) -> None:
        """Have the message delivered. Nothing escapes: the unexpected is temporary."""
        assert self._source is not None
        assert self._transaction is not None
        try:
            self._replies = await self._server.deliver(self._source, self._transaction)
        except Exception as error:  # noqa: BLE001 - as the docstring says
            unexpected(log, "DATA", error)
            lmtp = self._server.rules.lmtp
            self._replies = [INTERNAL] * (len(self._transaction.recipients) if lmtp else 1)
        if not self._closing:
            self._conclude_if_ended()
            self._turn()

    def _conclude_if_ended(self) -> None:
        """Answer the message, once its dot has come and its fate is known."""
        assert self._source is not None
        if self._source.ended and self._replies is not None:
            self._transport.write(self._dialogue.conclude(self._replies))
            self._source = self._transaction = self._task = self._replies = None
            self._end_if_drained()

    def _end_if_drained(self) -> None:
        if self._draining and not self._closing and not self._dialogue.in_transaction:
            self._hang_up(CLOSING)

    def _hang_up(self, octets: bytes) -> None:
        self._closing = True
        self._transport.write(octets)
        self._transport.close()

    def _set_reading(self) -> None:
        """Read on, unless the client does not read or sends more than can be passed on."""
        if self._closing:
            return
        source = self._source
        full = source is not None and self._replies is None and source.is_full
        wanted = self._writable and not full and self._dialogue.waiting < CHUNK
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
