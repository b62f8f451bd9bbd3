"""A push gateway with a set latency and set failures, light enough not to be what is measured.

It runs in the process of the load, so that both have one clock. It reads just enough HTTP to find
a request's body (RFC 9112): a length in the header, no chunks, as the notifier sends.
"""

import asyncio
import re
import time
from collections.abc import Callable
from functools import partial
from typing import cast

from bench.problem import BenchProblem

HOST = "127.0.0.1"
_END_OF_HEADER = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_FAILED = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"


class Gateway:
    """Answers each push after `latency` seconds; what `fails` says of a token and its try decides.

    `fails` gets the token and how often it came before.
    """

    def __init__(
        self, latency: float, fails: Callable[[str, int], bool] = lambda _token, _before: False
    ) -> None:
        self.latency = latency
        self.arrivals: dict[str, list[float]] = {}
        """When each token came, in seconds of `time.perf_counter`."""
        self.requests = 0
        self.port = 0
        self._fails = fails
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[asyncio.Transport] = set()

    @property
    def url(self) -> str:
        """Where it takes pushes."""
        return f"http://{HOST}:{self.port}/notify"

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            partial(_Connection, self), HOST, self.port, reuse_address=True, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and hang up on everybody."""
        if self._server is not None:
            self._server.close()
            for connection in self._connections:
                connection.abort()
            await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> "Gateway":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def came(self, connection: asyncio.Transport) -> None:
        """Somebody has connected."""
        self._connections.add(connection)

    def went(self, connection: asyncio.Transport) -> None:
        """Somebody has left."""
        self._connections.discard(connection)

    def take(self, token: str) -> bytes:
        """Note one push; its answer."""
        came = self.arrivals.setdefault(token, [])
        came.append(time.perf_counter())
        self.requests += 1
        return _FAILED if self._fails(token, len(came) - 1) else _TAKEN


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._gateway.came(self._transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._gateway.went(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        header, end, body = self._received.partition(_END_OF_HEADER)
        if not end:
            return
        length = _LENGTH.search(header)
        if length is None:
            raise BenchProblem("a push without Content-Length")
        if len(body) < int(length[1]):
            return
        self._received = b""
        answer = self._gateway.take(body.decode())
        if self._gateway.latency:
            asyncio.get_running_loop().call_later(self._gateway.latency, self._answer, answer)
        else:
            self._answer(answer)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)
