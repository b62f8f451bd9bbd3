"""Figures over a unix socket that listens already, to real clients of HTTP and to others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import generate_latest

from relay.life import metrics
from relay.life.metrics import PATH, MetricsServer
from relay.life.sockets import open_unix
from tests.relay.life.test_webserver import get


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("things", "What is counted.", registry=made).inc(3)
    return made


@contextlib.asynccontextmanager
async def serving(server: MetricsServer, path: Path) -> AsyncIterator[None]:
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
        MetricsServer(partial(generate_latest, registry), refresh), socket_dir / "s"
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
        MetricsServer(partial(generate_latest, registry), refresh), socket_dir / "s"
    ):
        assert (await get(socket_dir / "s", PATH))[0] == 503


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"HTTP/1.1 200"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 200"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 404"),
        (b"GET\r\n\r\n", b"HTTP/1.1 404"),
        (b"\r\n\r\n", b"HTTP/1.1 404"),
        (b"x" * 10_000, b""),
    ],
)
async def test_one_answer_per_connection(
    registry: CollectorRegistry, socket_dir: Path, request_: bytes, answer: bytes
) -> None:
    async with serving(MetricsServer(partial(generate_latest, registry)), socket_dir / "s"):
        found = await ask(socket_dir / "s", request_)
    assert found.startswith(answer)
    assert found.count(b"HTTP/1.1") == bool(answer)


async def test_a_client_that_asks_nothing_is_left(
    registry: CollectorRegistry, socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PATIENCE_SECONDS", 0.1)
    async with (
        serving(MetricsServer(partial(generate_latest, registry)), socket_dir / "s"),
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
        MetricsServer(partial(generate_latest, registry), refresh), socket_dir / "s"
    ):
        asking = asyncio.ensure_future(get(socket_dir / "s", PATH))
        await begun.wait()
    assert (await asking)[0] == 200
