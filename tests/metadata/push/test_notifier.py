"""What becomes of a push: taken, tried again, forgotten, given up; and how many go at a time."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from metadata.push.backoff import DEADLINE, TOKEN_FAILURES
from metadata.push.notifier import OF_ONE_ADDRESS
from metadata.push.protocol import Push
from metadata.push.queue import SqlitePushQueue
from metadata.tokens.files import FileTokenStore
from tests.metadata.gateway import Gateway
from tests.metadata.push.stand import ALICE, NOW, Clocks, Pending, Running
from tests.support import eventually

Start = Callable[..., Running]


async def test_a_message_wakes_the_notifier(
    queue: SqlitePushQueue, gateway: Gateway, start: Start
) -> None:
    notifier = start()
    for number in range(3):
        await queue.owe(f"u{number}@example.org", [f"t{number}"], NOW)
        notifier.wake()
        await eventually(lambda: len(gateway.received) == number + 1, "the push")  # noqa: B023
    assert gateway.received == ["t0", "t1", "t2"]


async def test_410_forgets_the_token(
    queue: SqlitePushQueue, tokens: FileTokenStore, gateway: Gateway, start: Start, pending: Pending
) -> None:
    gateway.status = {"gone": 410}
    for token in ("gone", "stays"):
        await tokens.add(ALICE, [token], int(NOW))
    await queue.owe(ALICE, ["gone", "stays"], NOW)
    start()
    await eventually(lambda: pending() == 0, "both are done")
    assert await tokens.valid(ALICE, int(NOW)) == ("stays",)
    assert sorted(gateway.received) == ["gone", "stays"]


async def test_410_for_a_mailbox_that_is_gone(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    gateway.usual = 410
    await queue.owe("bob@example.org", ["gone"], NOW)
    start()
    await eventually(lambda: pending() == 0, "the push is given up")


async def test_a_push_is_given_up_after_the_deadline(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, clocks: Clocks, pending: Pending
) -> None:
    gateway.usual = 500
    await queue.owe(ALICE, ["a"], NOW)
    notifier = start()
    await eventually(lambda: len(gateway.received) == 1, "the first try")
    clocks.now = NOW + DEADLINE
    await notifier.retry(lambda: pending() == 0)
    assert gateway.received == ["a", "a"]


async def test_requests_in_flight_are_bounded_and_many(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    names = [f"t{number}" for number in range(40)]
    gateway.hang = set(names)
    await queue.owe(ALICE, names, NOW)
    start(most=8)
    await eventually(lambda: gateway.hanging == 8, "all places are taken")
    gateway.let_go()
    await eventually(lambda: pending() == 0, "all are done")
    assert gateway.most_at_once == 8
    assert sorted(gateway.received) == sorted(names)


async def test_a_message_during_its_push_is_pushed_again(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, clocks: Clocks, pending: Pending
) -> None:
    gateway.hang = {"a"}
    await queue.owe(ALICE, ["a"], NOW)
    notifier = start()
    await eventually(lambda: gateway.hanging == 1, "the push is on the way")
    for _ in range(5):
        await queue.owe(ALICE, ["a"], NOW)
        notifier.wake()
    gateway.let_go()
    await notifier.retry(lambda: pending() == 0)
    assert gateway.received == ["a", "a"]


async def test_a_gateway_that_is_down_and_comes_back(
    queue: SqlitePushQueue,
    gateway: Gateway,
    start: Start,
    clocks: Clocks,
    caplog: pytest.LogCaptureFixture,
    pending: Pending,
) -> None:
    url = gateway.url
    await gateway.stop()
    names = [f"secret-token-{number}" for number in range(30)]
    await queue.owe(ALICE, names, NOW)
    notifier = start(url)
    await eventually(lambda: "pushes fail" in caplog.text, "a warning")
    await gateway.start()
    await notifier.retry(lambda: pending() == 0)
    assert sorted(gateway.received) == sorted(names)
    warnings = [record for record in caplog.records if "pushes fail" in record.getMessage()]
    assert len(warnings) == 1
    assert "secret-token" not in caplog.text


async def test_a_token_store_in_trouble_loses_nothing(
    queue: SqlitePushQueue,
    gateway: Gateway,
    start: Start,
    clocks: Clocks,
    mail: Path,
    caplog: pytest.LogCaptureFixture,
    pending: Pending,
) -> None:
    (mail / ALICE / "metadata.json").mkdir()
    gateway.usual = 410
    await queue.owe(ALICE, ["gone"], NOW)
    notifier = start()
    await eventually(lambda: "cannot be removed" in caplog.text, "a report")
    assert pending() == 1
    (mail / ALICE / "metadata.json").rmdir()
    await notifier.retry(lambda: pending() == 0)
    assert gateway.received == ["gone", "gone"]
    assert "unexpected" not in caplog.text


async def test_what_happens_is_counted(
    queue: SqlitePushQueue, gateway: Gateway, start: Start
) -> None:
    gateway.status = {"fails": 500}
    await queue.owe(ALICE, ["taken", "fails"], NOW)
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


async def fail_often(running: Running, gateway: Gateway, tries: int, token: str = "bad") -> None:
    """Let time pass until `token` has been tried so often, each time in vain."""
    for number in range(1, tries + 1):
        await running.retry(lambda: gateway.received.count(token) >= number, step=1800.0)  # noqa: B023
        await eventually(lambda: not running.is_busy, "what is under way")


@pytest.mark.parametrize("status", [500, 400])
async def test_a_token_that_fails_while_others_are_taken_is_forgotten(
    queue: SqlitePushQueue,
    tokens: FileTokenStore,
    gateway: Gateway,
    start: Start,
    clocks: Clocks,
    pending: Pending,
    status: int,
) -> None:
    gateway.status = {"bad": status}
    await tokens.add(ALICE, ["bad", "good"], int(NOW))
    clocks.turned = 0.0
    notifier = start()
    for number in range(TOKEN_FAILURES):
        # Messages come all the time: they neither hurry nor keep a token that fails.
        await queue.owe(ALICE, ["bad", "good"], clocks.now)
        await fail_often(notifier, gateway, number + 1)
    await eventually(lambda: pending() == 0, "nothing to be owed")
    assert await tokens.valid(ALICE, int(clocks.now)) == ("good",)
    assert gateway.received.count("bad") == TOKEN_FAILURES
    assert notifier.counted("metadata_pushes_total", outcome="given_up") == 1


async def test_a_token_that_fails_while_nothing_is_taken_is_kept(
    queue: SqlitePushQueue, tokens: FileTokenStore, gateway: Gateway, start: Start, clocks: Clocks
) -> None:
    gateway.usual = 500
    await tokens.add(ALICE, ["bad"], int(NOW))
    notifier = start()
    for number in range(TOKEN_FAILURES + 4):
        await queue.owe(ALICE, ["bad"], clocks.now)
        await fail_often(notifier, gateway, number + 1)
    assert await tokens.valid(ALICE, int(clocks.now)) == ("bad",)


async def test_messages_do_not_hurry_a_token_that_fails(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    """The clock on the wall stands still: nothing is due by the passing of time."""
    gateway.status = {"bad": 500}
    notifier = start()
    for number in range(50):
        await queue.owe("bob@example.org", [f"good{number}"], NOW)
        await queue.owe(ALICE, ["bad"], NOW)
        notifier.wake()
        await eventually(lambda: f"good{number}" in gateway.received, "the good one")  # noqa: B023
    assert gateway.received.count("bad") <= 2
    assert pending() >= 1


async def test_one_address_cannot_use_up_the_room(
    queue: SqlitePushQueue, gateway: Gateway, start: Start
) -> None:
    names = [f"slow{number}" for number in range(60)]
    gateway.hang = set(names)
    notifier = start(most=20)
    for most in range(6, 66, 6):
        await queue.owe(ALICE, names[:most], NOW)
        notifier.wake()
        await asyncio.sleep(0.02)
    await eventually(lambda: gateway.hanging >= OF_ONE_ADDRESS, "what it may have")
    await queue.owe("bob@example.org", ["bobs"], NOW - 3600)
    notifier.wake()
    await eventually(lambda: "bobs" in gateway.received, "another's push")
    assert gateway.hanging < 20
    gateway.let_go()


@pytest.mark.parametrize("method", ["done", "postpone"])
async def test_an_unforeseen_fault_in_settling_leaves_no_push_claimed(
    queue: SqlitePushQueue,
    gateway: Gateway,
    start: Start,
    pending: Pending,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    gateway.status = {"a": 200 if method == "done" else 500}
    settle, calls = getattr(queue, method), []

    async def fails_once(push: Push, moment: float) -> object:
        calls.append(push)
        if len(calls) == 1:
            raise RuntimeError("secret")
        return await settle(push, moment)

    monkeypatch.setattr(queue, method, fails_once)
    await queue.owe(ALICE, ["a"], NOW)
    notifier = start()
    await eventually(lambda: "unexpected RuntimeError" in caplog.text, "a report")
    gateway.status = {}
    await notifier.retry(lambda: pending() == 0, step=20.0)
    assert gateway.received == ["a", "a"]


async def test_a_date_that_no_calendar_has_is_no_time_to_wait(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, pending: Pending
) -> None:
    gateway.usual = 503
    gateway.answer_headers = {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}
    await queue.owe(ALICE, ["a"], NOW)
    notifier = start()
    await eventually(lambda: len(gateway.received) == 1, "the first try")
    gateway.usual = 200
    await notifier.retry(lambda: pending() == 0)


async def test_a_gateway_that_asks_for_a_day_is_not_flooded(
    queue: SqlitePushQueue, gateway: Gateway, start: Start
) -> None:
    gateway.usual = 429
    gateway.answer_headers = {"Retry-After": "86400"}
    await queue.owe(ALICE, ["a"], NOW)
    notifier = start()
    for _ in range(50):
        notifier.wake()
        await asyncio.sleep(0.01)
    assert gateway.received == ["a"]
