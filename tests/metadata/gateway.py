"""A push gateway on loopback: the real protocol, answers as a test wants them."""

import asyncio
import ssl
import time
from collections.abc import Callable

from aiohttp import web


class Gateway:
    """A push gateway on loopback that answers as a test says and remembers what it got."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.connections: set[object] = set()
        self.status: dict[str, int] = {}
        """The status for a token; 200 where there is none."""
        self.usual = 200
        self.judge: Callable[[str], int] | None = None
        """In place of both, if it is set."""
        self.answer_headers: dict[str, str] = {}
        self.hang: set[str] = set()
        self.hanging = 0
        self.most_at_once = 0
        self._at_once = 0
        self._let_go = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._scheme = "http"
        self.port = 0

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/notify"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._scheme = "https" if tls else "http"
        app = web.Application()
        app.router.add_post("/notify", self._notify)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.let_go()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    def let_go(self) -> None:
        """Answer what hangs."""
        self._let_go.set()

    async def _notify(self, request: web.Request) -> web.Response:
        token = (await request.read()).decode()
        self.received.append(token)
        self.headers.append(dict(request.headers))
        self.times.append(time.monotonic())
        self.connections.add(request.transport)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if token in self.hang:
                self.hanging += 1
                await self._let_go.wait()
            status = self.judge(token) if self.judge else self.status.get(token, self.usual)
            return web.Response(status=status, text="done", headers=self.answer_headers)
        finally:
            self._at_once -= 1
