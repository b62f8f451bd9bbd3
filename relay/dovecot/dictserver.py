"""The dict protocol on unix sockets: a thin asyncio edge over `relay.dovecot.dictproto`.

A connection's commands are answered in order, as Dovecot expects, by a task that lives while there
are any. A handler's failure is a temporary failure of that command; a protocol error ends that
connection. Neither affects another client. Long answers are written in slices.

`asyncio.Protocol` and not streams: those took a third of a lookup's processor time.
"""

import asyncio
import itertools
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol, cast

from relay.dovecot import dictproto
from relay.dovecot.dictproto import (
    Change,
    Commit,
    DictConnection,
    Event,
    Iterate,
    Lookup,
    ProtocolError,
)
from relay.log import unexpected

log = logging.getLogger(__name__)

ROWS = 1000
"""Rows of an iteration that are written in one turn of the loop: a millisecond or two."""
MAX_PENDING = 256
"""Waiting commands of one connection; with more, reading pauses until half are answered."""
IDLE_SECONDS = 3600.0
"""How long a connection may be silent until it is closed; Dovecot opens a new one when needed."""
DRAIN_SECONDS = 5.0
"""How long commands under way may take once the service is to stop."""


Serve = Callable[
    [Callable[[], asyncio.BaseProtocol], socket.socket], Awaitable[asyncio.AbstractServer]
]
"""As `relay.life.sockets.serve`: this package knows nothing of the life cycle."""


class DictFailure(Exception):
    """A handler cannot answer now; its text goes to Dovecot, so it holds no secret."""


class DictHandler(Protocol):
    """What a daemon answers. Every method may raise DictFailure: a temporary failure."""

    async def lookup(self, key: str, user: str, /) -> str | None:
        """The value of `key`, None where there is none."""

    async def iterate(self, path: str, user: str, /) -> Iterable[tuple[str, str]]:
        """Keys and values under `path`."""

    async def commit(self, user: str, changes: Sequence[Change], /) -> None:
        """Make `changes` take effect, durably, before returning."""


class DictServer:
    """Serves one handler. `serve` starts a server on a listening socket."""

    def __init__(self, handler: DictHandler, serve: Serve) -> None:
        self._handler = handler
        self._serve = serve
        self._connections: set[_Connection] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from `listener`."""
        self._server = await self._serve(
            lambda: _Connection(self._handler, self._connections), listener
        )

    async def stop(self) -> None:
        """Accept no more, let commands under way be answered, then close every connection."""
        if self._server is not None:
            self._server.close()
        ends = [connection.end() for connection in self._connections]
        if ends:
            await asyncio.wait(ends, timeout=DRAIN_SECONDS)


class _Connection(asyncio.Protocol):
    """One client. `everyone` holds it for as long as it is connected."""

    def __init__(self, handler: DictHandler, everyone: "set[_Connection]") -> None:
        self._handler = handler
        self._everyone = everyone
        self._protocol = DictConnection()
        self._pending: deque[Event] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._writable = asyncio.Event()
        self._writable.set()
        self._heard = self._loop.time()
        self._reading = True
        self._last_words = False
        self._gone = False
        self._transport: asyncio.Transport
        self._idle: asyncio.TimerHandle

    def end(self) -> asyncio.Future[None]:
        """Close once what is under way is answered; done when the connection is no more."""
        self._pending.clear()
        self._hang_up()
        return self._lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._everyone.add(self)
        self._idle = self._loop.call_later(IDLE_SECONDS, self._look_at_idleness)

    def connection_lost(self, _error: Exception | None) -> None:
        self._idle.cancel()
        self._gone = True
        self._writable.set()
        if self._answering is None:
            self._finish()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._last_words:
            return
        try:
            self._pending += self._protocol.feed(data)
        except ProtocolError as error:
            log.warning("a dict client was disconnected: %s", error)
            self._transport.close()
            return
        if self._pending and self._answering is None:
            self._answering = self._loop.create_task(self._answer_all())
        if len(self._pending) > MAX_PENDING and self._reading:
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._hang_up()
        return True  # what was asked is answered first

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _hang_up(self) -> None:
        self._last_words = True
        if self._answering is None:
            self._transport.close()

    def _look_at_idleness(self) -> None:
        idle = self._loop.time() - self._heard
        if idle >= IDLE_SECONDS and self._answering is None:
            self._transport.close()
        else:
            wait = max(IDLE_SECONDS - idle, 1.0)
            self._idle = self._loop.call_later(wait, self._look_at_idleness)

    async def _answer_all(self) -> None:
        try:
            while self._pending:
                async for piece in self._answer(self._pending.popleft()):
                    await self._say(piece)
                if not self._reading and not self._gone and len(self._pending) <= MAX_PENDING // 2:
                    self._reading = True
                    self._transport.resume_reading()
        finally:
            self._answering = None
            if self._gone:
                self._finish()
            elif self._last_words:
                self._transport.close()

    async def _say(self, piece: bytes) -> None:
        if self._gone:
            return  # the client has left; its question takes effect all the same
        self._transport.write(piece)
        if not self._writable.is_set():
            await self._writable.wait()

    def _finish(self) -> None:
        self._everyone.discard(self)
        if not self._lost.done():
            self._lost.set_result(None)

    async def _answer(self, event: Event) -> AsyncIterator[bytes]:
        """Answer in pieces, between which others get their turn."""
        try:
            match event:
                case Lookup(key, user):
                    value = await self._handler.lookup(key, user)
                    yield dictproto.NOT_FOUND if value is None else dictproto.found(value)
                case Iterate(path, _, max_rows, user):
                    rows = iter(await self._handler.iterate(path, user))
                    rows = itertools.islice(rows, max_rows or None)
                    while piece := list(itertools.islice(rows, ROWS)):
                        yield b"".join(dictproto.row(*pair) for pair in piece)
                        await asyncio.sleep(0)
                    yield dictproto.END_OF_ROWS
                case Commit(_, user, changes):
                    await self._handler.commit(user, changes)
                    yield dictproto.committed(event)
        except DictFailure as failure:
            yield _failed(event, str(failure))
        except Exception as error:  # noqa: BLE001 - the unexpected is a temporary failure
            unexpected(log, f"a dict {type(event).__name__.lower()}", error)
            yield _failed(event, "internal error")


def _failed(event: Event, reason: str) -> bytes:
    if isinstance(event, Commit):
        return dictproto.commit_failed(event, reason)
    return dictproto.failed(reason)
