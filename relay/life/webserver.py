"""HTTP on a socket that listens already: aiohttp's server, started and stopped with a daemon.

Nothing of a request is logged: its body and its path may hold an address or a password.
"""

import asyncio
import socket

from aiohttp import web

from relay.life.sockets import serve

DRAIN_SECONDS = 5.0
"""How long requests under way may take once the service is to stop."""


class WebServer:
    """Serves one aiohttp application on one listening socket."""

    def __init__(self, application: web.Application) -> None:
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=DRAIN_SECONDS)
        self._server: asyncio.AbstractServer | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from `listener`, TCP or unix."""
        await self._runner.setup()
        assert self._runner.server is not None
        self._server = await serve(self._runner.server, listener)

    async def stop(self) -> None:
        """Accept no more, let requests under way be answered, then close every connection."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
