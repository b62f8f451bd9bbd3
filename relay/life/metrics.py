"""A daemon's figures for Prometheus, on a unix socket of their own.

`curl --unix-socket PATH http://localhost/metrics` reads them, and so does `postern status`.
Figures count and time; no address, token or client network is ever a label.

One answer per connection is all the HTTP that this takes (RFC 9112). aiohttp's server would be a
third of the memory of a daemon at rest, and some daemons have no other use for it.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from relay.life.sockets import serve
from relay.log import unexpected

log = logging.getLogger(__name__)

METRICS = "metrics-socket"
"""The name of the listening socket, where a daemon is given one."""
PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""
PATIENCE_SECONDS = 10.0
"""For a whole request and its answer."""
_MAX_REQUEST = 8192


async def _nothing() -> None:
    pass


class MetricsServer:
    """Answers `GET /metrics` with figures in Prometheus' text format, after a refresh of them."""

    def __init__(
        self, rendered: Callable[[], bytes], refresh: Callable[[], Awaitable[None]] = _nothing
    ) -> None:
        self._rendered = rendered
        self._refresh = refresh
        self._server: asyncio.AbstractServer | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from `listener`."""
        self._server = await serve(lambda: _Request(self._begin), listener)

    async def stop(self) -> None:
        """Accept no more, and let requests under way be answered."""
        if self._server is not None:
            self._server.close()
        if self._answering:
            await asyncio.wait(self._answering, timeout=PATIENCE_SECONDS)

    def _begin(self, transport: asyncio.Transport, target: bytes) -> None:
        task = asyncio.ensure_future(self._answer(transport, target))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, transport: asyncio.Transport, target: bytes) -> None:
        status, kind, body = b"404 Not Found", "text/plain", b"figures are at /metrics\n"
        if target == PATH.encode():
            try:
                await self._refresh()
                status, kind, body = b"200 OK", CONTENT_TYPE, self._rendered()
            except Exception as error:  # noqa: BLE001 - the unexpected is temporary
                unexpected(log, "figures", error)
                status, body = b"503 Service Unavailable", b""
        head = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        transport.write(b"HTTP/1.1 " + status + b"\r\n" + head.encode() + body)
        transport.close()


class _Request(asyncio.Protocol):
    """One connection: its first request is passed on, and nothing after it."""

    def __init__(self, begin: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._begin = begin
        self._received = b""
        self._asked = False
        self._transport: asyncio.Transport
        self._end: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._end = loop.call_later(PATIENCE_SECONDS, self._transport.abort)

    def connection_lost(self, _error: Exception | None) -> None:
        self._end.cancel()

    def data_received(self, data: bytes) -> None:
        if self._asked:
            return
        self._received += data
        if b"\r\n\r\n" in self._received:
            self._asked = True
            words = self._received.split(b"\r\n", 1)[0].split(b" ")
            self._begin(self._transport, words[1] if words[0] == b"GET" and words[1:] else b"")
        elif len(self._received) > _MAX_REQUEST:
            self._transport.abort()
