"""Users who set tokens that fail, as many as they like: others' pushes arrive as ever."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from metadata.push.breaker import FIRST_PAUSE, SHUT_AFTER
from metadata.push.queue import SqlitePushQueue
from metadata.tokens.tokenset import MAX_TOKENS
from tests.metadata.gateway import Gateway
from tests.metadata.push.stand import NOW, Clocks, Running
from tests.support import eventually

Start = Callable[..., Running]


@contextlib.asynccontextmanager
async def flood(queue: SqlitePushQueue, notifier: Running, users: int = 1) -> AsyncIterator[None]:
    """Messages all the time for all the tokens, fresh each time, of so many attackers."""

    async def attack() -> None:
        for number in range(10_000):
            fresh = [f"bad{number}-{each}" for each in range(MAX_TOKENS)]
            await queue.owe(f"attacker{number % users}@example.org", fresh, NOW + 1)
            notifier.wake()
            await asyncio.sleep(0.02)

    attacking = asyncio.ensure_future(attack())
    yield
    attacking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await attacking


async def delays(
    queue: SqlitePushQueue, notifier: Running, gateway: Gateway, count: int = 40
) -> list[float]:
    """From an honest user's message to the request, in seconds, sorted."""
    found = []
    for number in range(count):
        token, began = f"good{number}", time.monotonic()
        await queue.owe(f"honest{number % 5}@example.org", [token], NOW)
        notifier.wake()
        await eventually(lambda: token in gateway.received, "an honest push")  # noqa: B023
        found.append(gateway.times[gateway.received.index(token)] - began)
    return sorted(found)


def fail(gateway: Gateway, status: int) -> None:
    gateway.judge = lambda token: status if token.startswith("bad") else 200


@pytest.mark.parametrize("status", [500, 400, 429])
async def test_one_users_garbage_never_shuts_the_gateway(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, status: int
) -> None:
    fail(gateway, status)
    notifier = start()
    async with flood(queue, notifier):
        late = await delays(queue, notifier, gateway)
    # Shut, it would be two seconds until the first probe.
    assert late[-1] < FIRST_PAUSE / 2
    assert sum(token.startswith("bad") for token in gateway.received) > SHUT_AFTER
    assert notifier.counted("metadata_gateway_shut") == 0


async def test_many_users_garbage_shuts_it_once_and_a_good_token_opens_it(
    queue: SqlitePushQueue, gateway: Gateway, start: Start, clocks: Clocks
) -> None:
    fail(gateway, 500)
    clocks.turned = 0.0
    notifier = start()
    await delays(queue, notifier, gateway, 1)
    for number in range(SHUT_AFTER):
        await queue.owe(f"attacker{number}@example.org", ["bad"], NOW + 1)
    notifier.wake()
    await eventually(lambda: notifier.counted("metadata_gateway_shut") == 1, "the trouble")
    # More of theirs are newer than any honest one, and yet no probe.
    for number in range(SHUT_AFTER):
        fresh = [f"bad{number}-{each}" for each in range(MAX_TOKENS)]
        await queue.owe(f"attacker{number}@example.org", fresh, NOW + 2)
    await queue.owe("honest@example.org", ["good"], NOW)
    before = len(gateway.received)
    clocks.turned = FIRST_PAUSE
    notifier.wake()
    await eventually(lambda: notifier.counted("metadata_gateway_shut") == 0, "its end")
    assert gateway.received[before] == "good"
    async with flood(queue, notifier, SHUT_AFTER):
        await delays(queue, notifier, gateway)
    assert notifier.counted("metadata_gateway_shut") == 0
