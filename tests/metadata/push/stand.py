"""What the tests of the notifier share: clocks that a test turns, and waiting."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from metadata.push.figures import PushFigures
from metadata.push.gateway import TIMEOUT_SECONDS, HttpGateway
from metadata.push.notifier import Notifier, Settings
from metadata.push.protocol import Gateway, PushQueue
from metadata.tokens.protocol import TokenStore
from tests.support import eventually

ALICE = "alice@example.org"
NOW = 1_800_000_000.0
Pending = Callable[[], int]


async def tokens_due(queue: PushQueue, now: float, limit: int = 100) -> list[str]:
    """Claim what is due; the tokens."""
    return [push.token for push in (await queue.claim(now, limit)).pushes]


@dataclass(slots=True)
class Clocks:
    """The clock on the wall, and a monotonic one that runs by itself or is turned."""

    now: float = NOW
    turned: float | None = None

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return time.monotonic() if self.turned is None else self.turned

    def pass_time(self, seconds: float) -> None:
        """Turn both."""
        self.now += seconds
        self.turned = self.monotonic() + seconds


@dataclass(slots=True)
class Running:
    """A notifier with what it was made of."""

    notifier: Notifier
    clocks: Clocks
    figures: PushFigures = field(default_factory=PushFigures)

    def wake(self) -> None:
        self.notifier.wake()

    def counted(self, name: str, **labels: str) -> float | None:
        return self.figures.registry.get_sample_value(name, labels)

    @property
    def is_busy(self) -> bool:
        """Whether a push is under way, or what became of it is being stored."""
        return bool(self.notifier._tasks)

    async def retry(self, condition: Callable[[], bool], step: float = 0.5) -> None:
        """Let time pass until `condition` holds; the notifier sleeps by the real clock: wake it."""

        def woken() -> bool:
            self.clocks.now += step
            self.notifier.wake()
            return condition()

        await eventually(woken, "the retry")


def running(
    url: str,
    queue: PushQueue,
    tokens: TokenStore,
    clocks: Clocks,
    *,
    most: int = 100,
    timeout: float = TIMEOUT_SECONDS,
) -> Running:
    """A notifier for the gateway at `url`, not started."""

    async def connect() -> Gateway:
        return HttpGateway(url, most, clocks.wall, timeout)

    figures = PushFigures()
    settings = Settings(
        most=most, clock=clocks.wall, monotonic=clocks.monotonic, chance=lambda: 0.5
    )
    return Running(Notifier(connect, queue, tokens, figures, settings), clocks, figures)
