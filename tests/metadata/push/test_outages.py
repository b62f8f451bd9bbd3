"""A gateway that is down is left alone, and what has waited follows when it is back."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from metadata.push.breaker import FIRST_PAUSE, MAX_PAUSE, SHUT_AFTER
from metadata.push.queue import SqlitePushQueue
from tests.metadata.gateway import Gateway
from tests.metadata.push.stand import NOW, Clocks, Running
from tests.support import eventually

MOST = 20
"""Requests at a time."""


@pytest.fixture
async def notifier(start: Callable[..., Running], clocks: Clocks) -> Running:
    """A notifier that delivers; the clocks stand still."""
    clocks.turned = 0.0
    return start(most=MOST)


async def owe(queue: SqlitePushQueue, count: int, kind: str = "t", at: float = NOW) -> list[str]:
    """Owe a push to each of so many tokens, each a second after the one before; the last `at`."""
    names = [f"{kind}{number:04}" for number in range(count)]
    for number, name in enumerate(names):
        await queue.owe(f"{name}@example.org", [name], at - count + 1 + number)
    return names


async def outage(notifier: Running, gateway: Gateway) -> None:
    """Wait until the notifier has found that the gateway is down."""
    gateway.usual = 503
    notifier.wake()
    await eventually(lambda: shut(notifier) == 1, "the gateway to be shut off")
    await eventually(lambda: not notifier.is_busy, "what is under way")


def shut(notifier: Running) -> float | None:
    return notifier.counted("metadata_gateway_shut")


async def pass_time(notifier: Running, clocks: Clocks, seconds: float, step: float = 5.0) -> None:
    """Let so much time pass, step by step, with what the notifier does in it."""
    for _ in range(int(seconds / step)):
        clocks.turned = clocks.monotonic() + step
        notifier.wake()
        await asyncio.sleep(0.01)
        await eventually(lambda: not notifier.is_busy, "what is under way")


async def test_a_gateway_that_is_down_sees_few_requests(
    queue: SqlitePushQueue, gateway: Gateway, notifier: Running, clocks: Clocks
) -> None:
    await owe(queue, 300)
    await outage(notifier, gateway)
    # What was under way when the gateway was found out, and no more.
    at_first = len(gateway.received)
    assert SHUT_AFTER <= at_first <= SHUT_AFTER + MOST
    await pass_time(notifier, clocks, 600)
    probes = len(gateway.received) - at_first
    assert 600 / (MAX_PAUSE + 5) <= probes <= 600 / MAX_PAUSE + 6


async def test_what_waited_follows_the_newest_first_and_not_in_a_rush(
    queue: SqlitePushQueue, gateway: Gateway, notifier: Running, clocks: Clocks
) -> None:
    names = await owe(queue, 300)
    await outage(notifier, gateway)
    gateway.usual = 200
    gateway.most_at_once = 0
    gateway.received.clear()
    # The clock on the wall stands: what failed is not due by itself, and yet it follows.
    clocks.turned = clocks.monotonic() + FIRST_PAUSE
    notifier.wake()
    await eventually(lambda: len(set(gateway.received)) == len(names), "all of them")
    assert sorted(gateway.received) == names
    assert gateway.most_at_once <= MOST
    age = {name: len(names) - number for number, name in enumerate(names)}
    # Those that failed first were the newest; their turn is when the first is taken.
    rest = [name for name in gateway.received if age[name] > SHUT_AFTER + MOST]
    assert sum(age[name] for name in rest[:100]) < sum(age[name] for name in rest[-100:])


async def test_new_messages_go_before_what_has_waited(
    queue: SqlitePushQueue, gateway: Gateway, notifier: Running, clocks: Clocks
) -> None:
    await owe(queue, 300, at=NOW - 3600)
    await outage(notifier, gateway)
    new = await owe(queue, 5, "new")
    gateway.usual = 200
    gateway.received.clear()
    clocks.turned = clocks.monotonic() + FIRST_PAUSE
    notifier.wake()
    await eventually(lambda: len(gateway.received) >= 300, "all of them")
    assert set(new) <= set(gateway.received[:30])


async def test_an_outage_is_told_when_it_begins_and_ends(
    queue: SqlitePushQueue,
    gateway: Gateway,
    notifier: Running,
    clocks: Clocks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await owe(queue, 50, "secret")
    await outage(notifier, gateway)
    await pass_time(notifier, clocks, 30)
    gateway.usual = 200
    await pass_time(notifier, clocks, MAX_PAUSE)
    await eventually(lambda: shut(notifier) == 0, "the end of the outage")
    told = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [("takes nothing" in each, "takes pushes again" in each) for each in told] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert "secret" not in caplog.text


async def test_a_gateway_that_asks_for_it_is_not_even_probed(
    queue: SqlitePushQueue, gateway: Gateway, notifier: Running, clocks: Clocks
) -> None:
    gateway.answer_headers = {"Retry-After": "300"}
    await owe(queue, 50)
    await outage(notifier, gateway)
    at_first = len(gateway.received)
    await pass_time(notifier, clocks, 299, step=11.5)
    assert len(gateway.received) == at_first
    await pass_time(notifier, clocks, 1, step=1)
    assert len(gateway.received) == at_first + 1
