"""Figures over a unix socket that listens already, to real clients of HTTP and to others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import generate_latest

from relay.life import webserver
from relay.life.metrics import PATH, metrics_server
from relay.life.sockets import open_unix
from relay.life.webserver import WebServer
from tests.relay.life.test_webserver import get


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("things", "What is counted.", registry=made).inc(3)
    return made


@contextlib.asynccontextmanager
async def serving(server: WebServer, path: Path) -> AsyncIterator[None]:
    await server.start(open_unix(path))
    yield
    await server.stop()


async def ask(path: Path, request: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
        writer.close()
        return answer
    return b""


async def test_figures_are_refreshed_and_served(
    registry: CollectorRegistry, socket_dir: Path
) -> None:
    refreshed = []

    async def refresh() -> None:
        refreshed.append(1)

    async with serving(
        metrics_server(partial(generate_latest, registry), refresh), socket_dir / "s"
    ):
        status, text = await get(socket_dir / "s", PATH)
        assert (status, "things_total 3.0" in text) == (200, True)
        assert (await get(socket_dir / "s", "/"))[0] == 404
    assert refreshed == [1]


async def test_a_refresh_that_fails_is_no_figures_for_now(
    registry: CollectorRegistry, socket_dir: Path
) -> None:
    async def refresh() -> None:
        raise RuntimeError("secret")

    async with serving(
        metrics_server(partial(generate_latest, registry), refresh), socket_dir / "s"
    ):
        assert (await get(socket_dir / "s", PATH))[0] == 503


async def test_a_client_that_asks_nothing_is_left(
    registry: CollectorRegistry, socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webserver, "PATIENCE_SECONDS", 0.1)
    async with (
        serving(metrics_server(partial(generate_latest, registry)), socket_dir / "s"),
        asyncio.timeout(5),
    ):
        assert await ask(socket_dir / "s", b"GET /metrics") == b""


async def test_a_request_under_way_is_answered_at_the_stop(
    registry: CollectorRegistry, socket_dir: Path
) -> None:
    begun = asyncio.Event()

    async def refresh() -> None:
        begun.set()
        await asyncio.sleep(0.1)

    async with serving(
        metrics_server(partial(generate_latest, registry), refresh), socket_dir / "s"
    ):
        asking = asyncio.ensure_future(get(socket_dir / "s", PATH))
        await begun.wait()
    assert (await asking)[0] == 200
