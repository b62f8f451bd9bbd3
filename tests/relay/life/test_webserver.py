"""HTTP over a unix socket that listens already."""

import asyncio
from pathlib import Path

import aiohttp
from aiohttp import web

from relay.life.sockets import open_unix
from relay.life.webserver import WebServer


async def get(path: Path, what: str) -> tuple[int, str]:
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://localhost{what}") as answer,
    ):
        return answer.status, await answer.text()


async def test_a_request_under_way_is_answered_at_the_stop(socket_dir: Path) -> None:
    arrived = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        arrived.set()
        await asyncio.sleep(0.2)
        return web.Response(text="done")

    application = web.Application()
    application.router.add_get("/", slow)
    server = WebServer(application)
    await server.start(open_unix(socket_dir / "s"))
    asking = asyncio.ensure_future(get(socket_dir / "s", "/"))
    await arrived.wait()
    await server.stop()
    assert await asking == (200, "done")


async def test_the_sockets_file_outlives_the_server(socket_dir: Path) -> None:
    server = WebServer(web.Application())
    await server.start(open_unix(socket_dir / "s"))
    await server.stop()
    assert (socket_dir / "s").is_socket()
