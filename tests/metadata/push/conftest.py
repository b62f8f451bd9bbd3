import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from metadata.push.protocol import PushQueue
from metadata.tokens.protocol import TokenStore
from tests.metadata.gateway import Gateway
from tests.metadata.push.stand import Clocks, Running, running


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def start(
    queue: PushQueue, tokens: TokenStore, clocks: Clocks, gateway: Gateway
) -> AsyncIterator[Callable[..., Running]]:
    """Start a notifier for a gateway, `gateway` if no URL is given."""
    tasks = []

    def begin(url: str | None = None, most: int = 100, timeout: float = 60) -> Running:
        made = running(url or gateway.url, queue, tokens, clocks, most=most, timeout=timeout)
        tasks.append(asyncio.ensure_future(made.notifier.run()))
        return made

    yield begin
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
