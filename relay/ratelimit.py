"""A rate limit for each key (a sender, a network): the generic cell rate algorithm.

Source: ITU-T I.371, Annex A. For each key one number is kept: the theoretical arrival time, when
its burst will be full again. A clock that jumps would open or shut the gate, so `now` is of a
monotonic one.

Callers await a `Limiter`, because one that several front ends share will be behind a network.
"""

from collections.abc import Callable
from typing import Protocol

MAX_KEYS = 100_000
"""Keys remembered at a time; a few megabytes."""


class Limiter(Protocol):
    """What callers await. Methods may raise OSError: the limit is unknown at present."""

    async def allow(self, key: str) -> bool:
        """Count one event of `key` and return True, or return False if it is one too many."""

    async def refund(self, key: str) -> None:
        """Take back one event that was allowed and did not happen."""


class RateLimiter:
    """Allows `burst` at once and `per_minute` in the long run."""

    def __init__(self, per_minute: float, burst: int, max_keys: int = MAX_KEYS) -> None:
        self._interval = 60.0 / per_minute
        self._tolerance = self._interval * (burst - 1)
        self._max_keys = max_keys
        self._arrival: dict[str, float] = {}

    def allow(self, key: str, now: float) -> bool:
        """Count an event of `key` at `now`, in seconds of a monotonic clock, unless it is too many.

        Return whether it was counted.
        """
        arrival = max(self._arrival.get(key, now), now)
        if arrival - now > self._tolerance:
            return False
        if key not in self._arrival and len(self._arrival) >= self._max_keys:
            self._make_room(now)
        self._arrival[key] = arrival + self._interval
        return True

    def refund(self, key: str) -> None:
        """Take back one event of `key`; a key that has been forgotten needs none."""
        if key in self._arrival:
            self._arrival[key] -= self._interval

    def __len__(self) -> int:
        return len(self._arrival)

    def _make_room(self, now: float) -> None:
        """Forget keys with a full burst; if all are busy, those nearest to it."""
        self._arrival = {key: time for key, time in self._arrival.items() if time > now}
        excess = len(self._arrival) - self._max_keys // 2
        if excess > 0:
            for key in sorted(self._arrival, key=self._arrival.__getitem__)[:excess]:
                del self._arrival[key]


class LocalLimiter:
    """A `Limiter` in the memory of this process."""

    def __init__(self, limiter: RateLimiter, monotonic: Callable[[], float]) -> None:
        """`monotonic` returns seconds of a clock that never jumps."""
        self._limiter = limiter
        self._monotonic = monotonic

    async def allow(self, key: str) -> bool:
        """Count one event of `key` and return True, or return False if it is one too many."""
        return self._limiter.allow(key, self._monotonic())

    async def refund(self, key: str) -> None:
        """Take back one event that was allowed and did not happen."""
        self._limiter.refund(key)
