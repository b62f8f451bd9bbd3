import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from metadata.push.backoff import DEADLINE
from metadata.push.notifier import Notifier
from metadata.push.queue import FILE, TOGETHER_SECONDS, PushQueue
from metadata.tokens.files import TokenStore
from tests.metadata.gateway import Gateway
from tests.support import eventually

ALICE = "alice@example.org"
NOW = 1_800_000_000.0


class Clock:
    """A wall clock that a test turns."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Start = Callable[..., Notifier]
Pending = Callable[[], int]


@pytest.fixture
async def start(
    queue: PushQueue, tokens: TokenStore, clock: Clock, gateway: Gateway
) -> AsyncIterator[Start]:
    """Start a notifier for the gateway; keyword arguments are its own."""
    tasks = []

    def begin(
        url: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        **settings: float,
    ) -> Notifier:
        notifier = Notifier(
            url or gateway.url,
            queue,
            tokens,
            clock=clock,
            monotonic=monotonic,
            chance=lambda: 0.5,
            max_in_flight=int(settings.get("max_in_flight", 100)),
            timeout=settings.get("timeout", 60),
        )
        tasks.append(asyncio.ensure_future(notifier.run()))
        return notifier

    yield begin
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_request_is_the_token_and_nothing_else(
    queue: PushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    token = "openpgp:" + "ü" * 2000
    await queue.put(ALICE, [token], NOW)
    start()
    await eventually(lambda: pending() == 0, "the push is done")
    assert gateway.received == [token]
    assert set(gateway.headers[0]) == {"Host", "Content-Length"}


async def test_a_message_wakes_the_notifier(
    queue: PushQueue, gateway: Gateway, start: Start
) -> None:
    notifier = start()
    for number in range(3):
        await queue.put(ALICE, [f"t{number}"], NOW)
        notifier.wake()
        await eventually(lambda: len(gateway.received) == number + 1, "the push")  # noqa: B023
    assert gateway.received == ["t0", "t1", "t2"]


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_any_2xx_is_taken(
    queue: PushQueue, gateway: Gateway, start: Start, status: int, pending: Pending
) -> None:
    gateway.usual = status
    await queue.put(ALICE, ["a"], NOW)
    start()
    await eventually(lambda: pending() == 0, "the push is done")
    assert gateway.received == ["a"]


async def test_410_forgets_the_token(
    queue: PushQueue, tokens: TokenStore, gateway: Gateway, start: Start, pending: Pending
) -> None:
    gateway.status = {"gone": 410}
    for token in ("gone", "stays"):
        await tokens.add(ALICE, token, int(NOW))
    await queue.put(ALICE, ["gone", "stays"], NOW)
    start()
    await eventually(lambda: pending() == 0, "both are done")
    assert await tokens.valid(ALICE, int(NOW)) == ("stays",)
    assert sorted(gateway.received) == ["gone", "stays"]


async def test_410_for_a_mailbox_that_is_gone(
    queue: PushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    gateway.usual = 410
    await queue.put("bob@example.org", ["gone"], NOW)
    start()
    await eventually(lambda: pending() == 0, "the push is given up")


@pytest.mark.parametrize("status", [301, 400, 403, 404, 429, 500, 503])
async def test_any_other_answer_is_temporary(
    queue: PushQueue, gateway: Gateway, start: Start, clock: Clock, status: int, pending: Pending
) -> None:
    gateway.status = {"fails": status}
    await queue.put(ALICE, ["fails", "works"], NOW)
    notifier = start()
    await eventually(lambda: len(gateway.received) == 2, "both tries")
    await eventually(lambda: pending() == 1, "the good one is done")
    gateway.status = {}
    await retry(notifier, clock, lambda: pending() == 0)
    assert sorted(gateway.received) == ["fails", "fails", "works"]


async def retry(notifier: Notifier, clock: Clock, condition: Callable[[], bool]) -> None:
    """Let time pass until `condition` holds: the notifier sleeps by the real clock, so wake it."""

    def woken() -> bool:
        clock.now += 0.5
        notifier.wake()
        return condition()

    await eventually(woken, "the retry")


async def test_a_push_is_given_up_after_the_deadline(
    queue: PushQueue, gateway: Gateway, start: Start, clock: Clock, pending: Pending
) -> None:
    gateway.usual = 500
    await queue.put(ALICE, ["a"], NOW)
    notifier = start()
    await eventually(lambda: len(gateway.received) == 1, "the first try")
    clock.now = NOW + DEADLINE
    await retry(notifier, clock, lambda: pending() == 0)
    assert gateway.received == ["a", "a"]


async def test_retries_come_by_themselves(
    queue: PushQueue,
    gateway: Gateway,
    tokens: TokenStore,
    start: Start,
    clock: Clock,
    pending: Pending,
) -> None:
    """With the clock of the system: the notifier sleeps until the retry is due."""
    clock.now = 0.0
    notifier = Notifier(gateway.url, queue, tokens, clock=time.time, chance=lambda: 0.0)
    gateway.usual = 500
    await queue.put(ALICE, ["a"], time.time())
    running = asyncio.ensure_future(notifier.run())
    await eventually(lambda: len(gateway.received) == 1, "the first try")
    gateway.usual = 200
    await eventually(lambda: pending() == 0, "the retry")
    assert gateway.times[1] - gateway.times[0] >= 1.4
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_hanging_request_holds_up_no_other_and_times_out(
    queue: PushQueue, gateway: Gateway, start: Start, clock: Clock, pending: Pending
) -> None:
    gateway.hang = {"hangs"}
    await queue.put(ALICE, ["hangs"], NOW)
    notifier = start(timeout=0.5)
    await eventually(lambda: gateway.hanging == 1, "the request that hangs")
    await queue.put(ALICE, ["other"], NOW)
    notifier.wake()
    await eventually(lambda: "other" in gateway.received, "the other push")
    gateway.hang = set()
    await retry(notifier, clock, lambda: pending() == 0)
    assert sorted(gateway.received) == ["hangs", "hangs", "other"]


async def test_requests_in_flight_are_bounded_and_many(
    queue: PushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    names = [f"t{number}" for number in range(40)]
    gateway.hang = set(names)
    await queue.put(ALICE, names, NOW)
    start(max_in_flight=8)
    await eventually(lambda: gateway.hanging == 8, "all places are taken")
    gateway.let_go()
    await eventually(lambda: pending() == 0, "all are done")
    assert gateway.most_at_once == 8
    assert sorted(gateway.received) == sorted(names)


async def test_connections_are_used_again(
    queue: PushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    await queue.put(ALICE, [f"t{number}" for number in range(200)], NOW)
    start(max_in_flight=5)
    await eventually(lambda: pending() == 0, "all are done")
    assert len(gateway.received) == 200
    assert len(gateway.connections) <= 5


async def test_a_message_during_its_push_is_pushed_again(
    queue: PushQueue, gateway: Gateway, start: Start, clock: Clock, pending: Pending
) -> None:
    gateway.hang = {"a"}
    await queue.put(ALICE, ["a"], NOW)
    notifier = start()
    await eventually(lambda: gateway.hanging == 1, "the push is on the way")
    for _ in range(5):
        await queue.put(ALICE, ["a"], NOW)
        notifier.wake()
    gateway.let_go()
    await retry(notifier, clock, lambda: pending() == 0)
    assert gateway.received == ["a", "a"]


async def test_messages_for_one_token_in_a_short_time_are_one_request_more(
    queue: PushQueue, gateway: Gateway, start: Start, clock: Clock, pending: Pending
) -> None:
    notifier = start()
    for number in range(10):
        await queue.put(ALICE, ["a"], NOW + number / 100)
        notifier.wake()
        await eventually(lambda: bool(gateway.received), "the first push")
    clock.now = NOW + TOGETHER_SECONDS / 2
    await queue.put(ALICE, ["b"], clock.now)
    notifier.wake()
    await eventually(lambda: "b" in gateway.received, "the push to another")
    await retry(notifier, clock, lambda: pending() == 0)
    assert gateway.received == ["a", "b", "a"]


async def test_a_gateway_that_is_down_and_comes_back(
    queue: PushQueue,
    gateway: Gateway,
    start: Start,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    pending: Pending,
) -> None:
    url = gateway.url
    await gateway.stop()
    names = [f"secret-token-{number}" for number in range(30)]
    await queue.put(ALICE, names, NOW)
    notifier = start(url)
    await eventually(lambda: "pushes fail" in caplog.text, "a warning")
    await gateway.start()
    await retry(notifier, clock, lambda: pending() == 0)
    assert sorted(gateway.received) == sorted(names)
    warnings = [record for record in caplog.records if "pushes fail" in record.getMessage()]
    assert len(warnings) == 1
    assert "secret-token" not in caplog.text


@pytest.mark.parametrize(
    "answer", [b"garbage\r\n\r\n", b"", b"HTTP/1.1 200", b"\0" * 9000, b"HTTP/1.1 999999 x\r\n\r\n"]
)
async def test_garbage_for_an_answer_is_temporary(
    queue: PushQueue,
    gateway: Gateway,
    start: Start,
    clock: Clock,
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
    await queue.put(ALICE, ["secret-token"], NOW)
    start(f"http://127.0.0.1:{port}/")
    await eventually(lambda: "pushes fail" in caplog.text, "a warning")
    nonsense.close()
    assert pending() == 1
    assert "secret-token" not in caplog.text
    assert "unexpected" not in caplog.text


async def test_a_redirect_is_not_followed(
    queue: PushQueue, gateway: Gateway, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 307 x\r\nContent-Length: 0\r\nLocation: " + gateway.url.encode())
        writer.write(b"\r\n\r\n")
        writer.close()

    elsewhere = await asyncio.start_server(accepted, "127.0.0.1", 0)
    await queue.put(ALICE, ["a"], NOW)
    start(f"http://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}/")
    await eventually(lambda: "HTTP 307" in caplog.text, "a warning")
    elsewhere.close()
    assert gateway.received == []


async def test_a_token_store_in_trouble_loses_nothing(
    queue: PushQueue,
    gateway: Gateway,
    start: Start,
    clock: Clock,
    mail: Path,
    caplog: pytest.LogCaptureFixture,
    pending: Pending,
) -> None:
    (mail / ALICE / "metadata.json").mkdir()
    gateway.usual = 410
    await queue.put(ALICE, ["gone"], NOW)
    notifier = start()
    await eventually(lambda: "cannot be removed" in caplog.text, "a report")
    assert pending() == 1
    (mail / ALICE / "metadata.json").rmdir()
    await retry(notifier, clock, lambda: pending() == 0)
    assert gateway.received == ["gone", "gone"]
    assert "unexpected" not in caplog.text


async def test_an_unexpected_fault_is_one_pushs_and_temporary(
    queue: PushQueue,
    gateway: Gateway,
    start: Start,
    clock: Clock,
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
    await queue.put(ALICE, [faulted, "good"], NOW)
    notifier = start()
    await eventually(lambda: gateway.received == ["good"], "the other")
    await eventually(lambda: "unexpected RuntimeError" in caplog.text, "a report")
    monkeypatch.undo()
    await retry(notifier, clock, lambda: pending() == 0)
    assert gateway.received == ["good", faulted]
    reported = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert not any(faulted in message for message in reported)


async def test_a_gateway_that_asks_to_wait_is_left_alone(
    queue: PushQueue, gateway: Gateway, start: Start, tmp_path: Path
) -> None:
    gateway.usual = 503
    gateway.answer_headers = {"Retry-After": "3600"}
    await queue.put(ALICE, ["a"], NOW)
    start()

    def due() -> float:
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE)) as database:
            moment: float = database.execute("SELECT due FROM push").fetchone()[0]
        return moment

    await eventually(lambda: due() >= NOW + 3600, "its next try is put off")
    assert gateway.received == ["a"]


async def test_what_happens_is_counted(queue: PushQueue, gateway: Gateway, start: Start) -> None:
    gateway.status = {"fails": 500}
    await queue.put(ALICE, ["taken", "fails"], NOW)
    notifier = start()

    def counted(name: str, **labels: str) -> float | None:
        return notifier.figures.registry.get_sample_value(name, labels)

    await eventually(
        lambda: (
            counted("metadata_pushes_total", outcome="taken") == 1
            and counted("metadata_pushes_total", outcome="failed") == 1
        ),
        "both to be counted",
    )
    assert counted("metadata_push_seconds_count") == 1
    await eventually(lambda: not notifier.is_busy, "nothing under way")
    assert counted("metadata_pushes_in_flight") == 0
    assert await queue.backlog() == (1, NOW)
