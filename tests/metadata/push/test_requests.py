"""The notifier and the gateway over HTTP: one request, its answer, and every fault of either."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from metadata.push.queue import FILE, SqlitePushQueue
from tests.metadata.gateway import Gateway
from tests.metadata.push.stand import ALICE, NOW, Clocks, Pending, Running
from tests.support import eventually

Start = Callable[..., Running]


async def test_the_request_is_the_token_and_nothing_else(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    token = "openpgp:" + "ü" * 2000
    await queue.owe(ALICE, [token], NOW)
    start()
    await eventually(lambda: pending() == 0, "the push is done")
    assert gateway.received == [token]
    assert set(gateway.headers[0]) == {"Host", "Content-Length"}


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_any_2xx_is_taken(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, status: int, pending: Pending
) -> None:
    gateway.usual = status
    await queue.owe(ALICE, ["a"], NOW)
    start()
    await eventually(lambda: pending() == 0, "the push is done")
    assert gateway.received == ["a"]


@pytest.mark.parametrize("status", [301, 400, 403, 404, 429, 500, 503])
async def test_any_other_answer_is_temporary(
    queue: SqlitePushQueue,
    gateway: Gateway,
    start: Start,
    clocks: Clocks,
    status: int,
    pending: Pending,
) -> None:
    gateway.status = {"fails": status}
    await queue.owe(ALICE, ["fails", "works"], NOW)
    notifier = start()
    await eventually(lambda: len(gateway.received) == 2, "both tries")
    await eventually(lambda: pending() == 1, "the good one is done")
    gateway.status = {}
    await notifier.retry(lambda: pending() == 0)
    assert sorted(gateway.received) == ["fails", "fails", "works"]


async def test_a_hanging_request_holds_up_no_other_and_times_out(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, clocks: Clocks, pending: Pending
) -> None:
    gateway.hang = {"hangs"}
    await queue.owe(ALICE, ["hangs"], NOW)
    notifier = start(timeout=0.5)
    await eventually(lambda: gateway.hanging == 1, "the request that hangs")
    await queue.owe("bob@example.org", ["other"], NOW)
    notifier.wake()
    await eventually(lambda: "other" in gateway.received, "the other push")
    gateway.hang = set()
    await notifier.retry(lambda: pending() == 0)
    assert sorted(gateway.received) == ["hangs", "hangs", "other"]


async def test_connections_are_used_again(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    await queue.owe(ALICE, [f"t{number}" for number in range(200)], NOW)
    start(most=5)
    await eventually(lambda: pending() == 0, "all are done")
    assert len(gateway.received) == 200
    assert len(gateway.connections) <= 5


@pytest.mark.parametrize(
    "answer", [b"garbage\r\n\r\n", b"", b"HTTP/1.1 200", b"\0" * 9000, b"HTTP/1.1 999999 x\r\n\r\n"]
)
async def test_garbage_for_an_answer_is_temporary(
    queue: SqlitePushQueue,
    gateway: Gateway,
    start: Start,
    clocks: Clocks,
    caplog: pytest.LogCaptureFixture,
    answer: bytes,
    pending: Pending,
) -> None:
    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    nonsense = await asyncio.start_server(accepted, "127.0.0.1", 0)
    port = nonsense.sockets[0].getsockname()[1]
    await queue.owe(ALICE, ["secret-token"], NOW)
    start(f"http://127.0.0.1:{port}/")
    await eventually(lambda: "pushes fail" in caplog.text, "a warning")
    nonsense.close()
    assert pending() == 1
    assert "secret-token" not in caplog.text
    assert "unexpected" not in caplog.text


async def test_a_redirect_is_not_followed(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: " + gateway.url.encode())
        writer.write(b"\r\n\r\n")
        writer.close()

    elsewhere = await asyncio.start_server(accepted, "127.0.0.1", 0)
    await queue.owe(ALICE, ["a"], NOW)
    start(f"http://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}/")
    await eventually(lambda: "HTTP 307" in caplog.text, "a warning")
    elsewhere.close()
    assert gateway.received == []


async def test_an_unexpected_fault_is_one_pushs_and_temporary(
    queue: SqlitePushQueue,
    gateway: Gateway,
    start: Start,
    clocks: Clocks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pending: Pending,
) -> None:
    post, faulted = aiohttp.ClientSession.post, "secret" + "-faulty"

    def faulty(session: aiohttp.ClientSession, url: str, **settings: Any) -> Any:
        if settings["data"] == faulted.encode():
            raise RuntimeError(faulted)
        return post(session, url, **settings)

    monkeypatch.setattr(aiohttp.ClientSession, "post", faulty)
    await queue.owe(ALICE, [faulted, "good"], NOW)
    notifier = start()
    await eventually(lambda: gateway.received == ["good"], "the other")
    await eventually(lambda: "unexpected RuntimeError" in caplog.text, "a report")
    monkeypatch.undo()
    await notifier.retry(lambda: pending() == 0)
    assert gateway.received == ["good", faulted]
    reported = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert not any(faulted in message for message in reported)


async def test_a_gateway_that_asks_to_wait_is_left_alone(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, tmp_path: Path
) -> None:
    gateway.usual = 503
    gateway.answer_headers = {"Retry-After": "3600"}
    await queue.owe(ALICE, ["a"], NOW)
    start()

    def due() -> float:
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE)) as database:
            moment: float = database.execute("SELECT due FROM push").fetchone()[0]
        return moment

    await eventually(lambda: due() >= NOW + 3600, "its next try is put off")
    assert gateway.received == ["a"]
