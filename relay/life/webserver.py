"""HTTP on a socket that listens already, for questions that are small and answered whole.

httptools parses (RFC 9112, keep-alive and chunked bodies included); this collects a request, has it
answered and writes the answer. aiohttp's server took a third of the memory of a daemon at rest and
most of the processor time of a lookup, of which there is one per message and two per login.

Requests of one connection are answered in order. Nothing of a request is logged: its body and its
path may hold an address or a password.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

import httptools

from relay.life.sockets import serve
from relay.log import unexpected

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""How long requests under way may take once the service is to stop."""
PATIENCE_SECONDS = 60.0
"""How long a connection may go without a whole request."""
MAX_BODY = 256 * 1024
"""Octets of a body. What is beyond them is read and dropped, up to `MAX_DROPPED` in all."""
MAX_DROPPED = 4 << 20
MAX_HEAD = 16 * 1024
"""Octets of the request line and the headers together."""
MAX_WAITING = 16
"""Requests of one connection that wait for their turn; with more, reading pauses."""


@dataclass(slots=True)
class Request:
    """A whole request."""

    method: str = ""
    target: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Names in lower case."""
    content: bytearray = field(default_factory=bytearray)
    """The body, as far as it was kept."""
    octets: int = 0
    """Of the body, as it was sent."""
    keep_alive: bool = True

    @property
    def path(self) -> str:
        """The target without its query; empty for one that is no URL."""
        return self._part("path")

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self._part("query")

    @property
    def too_large(self) -> bool:
        """True if some of the body was dropped."""
        return self.octets > len(self.content)

    def header(self, name: str) -> list[str]:
        """Return the values of a header, whose name is given in lower case."""
        wanted = name.encode()
        return [value.decode("latin-1") for found, value in self.headers if found == wanted]

    def _part(self, name: str) -> str:
        try:
            part: bytes | None = getattr(httptools.parse_url(self.target), name)
        except httptools.HttpParserInvalidURLError:
            return ""
        return (part or b"").decode("latin-1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with."""

    status: HTTPStatus
    body: str = ""
    kind: str = "text/plain; charset=utf-8"

    def encoded(self, *, keep_alive: bool) -> bytes:
        """The octets to write."""
        body = self.body.encode()
        closing = "" if keep_alive else "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n"
            f"Content-Type: {self.kind}\r\nContent-Length: {len(body)}\r\n{closing}\r\n"
        )
        return head.encode() + body


Handler = Callable[[Request], Awaitable[Answer]]
"""Answers a request; whatever it raises is a 503."""


class WebServer:
    """Serves one handler on one listening socket."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.AbstractServer | None = None
        self._everyone: set[_Connection] = set()

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from `listener`, TCP or unix."""
        self._server = await serve(lambda: _Connection(self._handler, self._everyone), listener)

    async def stop(self) -> None:
        """Accept no more, let requests under way be answered, then close every connection."""
        if self._server is not None:
            self._server.close()
        if endings := [connection.end() for connection in self._everyone]:
            await asyncio.wait(endings, timeout=DRAIN_SECONDS)
        for connection in list(self._everyone):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One client, and httptools' callbacks for its requests."""

    def __init__(self, handler: Handler, everyone: "set[_Connection]") -> None:
        self._handler = handler
        self._everyone = everyone
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        # Octets since the last whole request.
        self._taken = 0
        self._in_body = False
        self._waiting: deque[Request] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._last = False
        self._heard = self._loop.time()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def end(self) -> asyncio.Future[None]:
        """Close once what is under way is answered; done when the connection is no more."""
        self._last = True
        if self._answering is None:
            self._transport.close()
        return self._lost

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._everyone.add(self)
        self._timer = self._loop.call_later(PATIENCE_SECONDS, self._look_at_patience)

    def connection_lost(self, _error: Exception | None) -> None:
        self._timer.cancel()
        self._everyone.discard(self)
        self._waiting.clear()
        self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._last:
            return
        self._taken += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._not_http()
            return
        if self._taken > (MAX_DROPPED if self._in_body else MAX_HEAD):
            self._not_http()

    def eof_received(self) -> bool:
        self._last = True
        return self._answering is not None  # what was asked is answered first

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        self._request = Request()

    def on_url(self, url: bytes) -> None:
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        request = self._request
        request.octets += len(body)
        if request.octets <= MAX_BODY:
            request.content += body

    def on_message_complete(self) -> None:
        request = self._request
        request.method = self._parser.get_method().decode("ascii")
        request.keep_alive = self._parser.should_keep_alive()
        self._taken, self._in_body = 0, False
        self._heard = self._loop.time()
        self._waiting.append(request)
        if self._answering is None:
            self._answering = self._loop.create_task(self._answer_all())
        elif len(self._waiting) == MAX_WAITING:
            self._transport.pause_reading()

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                request = self._waiting.popleft()
                answer = await self._answer(request)
                ends = not request.keep_alive or (self._last and not self._waiting)
                self._transport.write(answer.encoded(keep_alive=not ends))
                if ends:
                    self._last = True
                    break
                if len(self._waiting) == MAX_WAITING // 2:
                    self._transport.resume_reading()
        finally:
            self._answering = None
            self._heard = self._loop.time()
            if self._last:
                self._transport.close()

    async def _answer(self, request: Request) -> Answer:
        try:
            return await self._handler(request)
        except Exception as error:  # noqa: BLE001 - the unexpected is temporary
            unexpected(log, "an HTTP request", error)
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE)

    def _not_http(self) -> None:
        self._last = True
        if self._answering is None:
            self._transport.write(Answer(HTTPStatus.BAD_REQUEST).encoded(keep_alive=False))
            self._transport.close()

    def _look_at_patience(self) -> None:
        silent = self._loop.time() - self._heard
        if silent >= PATIENCE_SECONDS and self._answering is None:
            self._transport.close()
        else:
            wait = max(PATIENCE_SECONDS - silent, 0.05)
            self._timer = self._loop.call_later(wait, self._look_at_patience)
