"""The dict protocol on unix sockets: a thin asyncio edge over `relay.dictproto`.

One task a connection; its commands are answered one after the other, in order, as Dovecot
expects. What goes wrong in a handler is a temporary failure for that command; what goes wrong
in the protocol ends that connection. Neither touches another client.
"""

import asyncio
import logging
import socket
from collections.abc import Iterable, Sequence
from typing import Protocol

from relay import dictproto
from relay.dictproto import Change, Commit, DictConnection, Event, Iterate, Lookup, ProtocolError
from relay.log import unexpected
from relay.sockets import BACKLOG, KEEP_SOCKET_FILE

log = logging.getLogger(__name__)

CHUNK = 64 * 1024
IDLE_SECONDS = 3600.0
"""A connection that says nothing for so long is closed; Dovecot opens another when it needs one."""
DRAIN_SECONDS = 5.0
"""How long commands under way may take once the service is to stop."""


class DictFailure(Exception):  # noqa: N818 - Dovecot's own word for the reply
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
    """Serves one handler on one listening socket."""

    def __init__(self, handler: DictHandler) -> None:
        self._handler = handler
        self._connections: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from `listener`."""
        self._server = await asyncio.start_unix_server(
            self._accepted, sock=listener, backlog=BACKLOG, **KEEP_SOCKET_FILE
        )

    async def stop(self) -> None:
        """Accept no more, let commands under way be answered, then close every connection."""
        if self._server is not None:
            self._server.close()
        self._stopping = True
        for task in self._connections - self._busy:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=DRAIN_SECONDS)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = DictConnection()
        try:
            while not self._stopping and (data := await _next(reader)):
                await self._reply(connection.feed(data), writer)
        except ProtocolError as error:
            log.warning("a dict client was disconnected: %s", error)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the peer has left or was idle, or the service stops: nothing to say
        except Exception as error:  # noqa: BLE001 - one connection's fault must not end the service
            unexpected(log, "a dict connection", error)
        finally:
            writer.close()

    async def _reply(self, events: list[Event], writer: asyncio.StreamWriter) -> None:
        """Answer in order; whoever is answering is not interrupted by a stop."""
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            for event in events:
                writer.write(await self._answer(event))
                await writer.drain()
        finally:
            self._busy.discard(task)

    async def _answer(self, event: Event) -> bytes:
        try:
            match event:
                case Lookup(key, user):
                    value = await self._handler.lookup(key, user)
                    return dictproto.NOT_FOUND if value is None else dictproto.found(value)
                case Iterate(path, _, max_rows, user):
                    pairs = list(await self._handler.iterate(path, user))
                    rows = [dictproto.row(*pair) for pair in pairs[: max_rows or None]]
                    return b"".join(rows) + dictproto.END_OF_ROWS
                case Commit(_, user, changes):
                    await self._handler.commit(user, changes)
                    return dictproto.committed(event)
        except DictFailure as failure:
            return _failed(event, str(failure))
        except Exception as error:  # noqa: BLE001 - the unexpected is a temporary failure
            unexpected(log, f"a dict {type(event).__name__.lower()}", error)
            return _failed(event, "internal error")


async def _next(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE_SECONDS):
        return await reader.read(CHUNK)


def _failed(event: Event, reason: str) -> bytes:
    if isinstance(event, Commit):
        return dictproto.commit_failed(event, reason)
    return dictproto.failed(reason)
