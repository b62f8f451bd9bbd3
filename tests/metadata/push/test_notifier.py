"""What becomes of a push: taken, tried again, forgotten, given up; and how many go at a time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metadata.push.backoff import DEADLINE
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
        await queue.owe(ALICE, [f"t{number}"], NOW)
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
