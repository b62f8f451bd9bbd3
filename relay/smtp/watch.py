"""One timer for all connections of a service: it ends those that have waited for too long.

A timer per command would cost more than the command. What this one costs is precision: a limit is
noticed up to `PERIOD` late.
"""

import asyncio
from typing import Protocol

PERIOD = 0.5
"""Seconds between two looks."""


class Watched(Protocol):
    """A connection that may wait for too long."""

    def look(self, now: float, /) -> None:
        """End what is overdue at `now`, in seconds of the loop's clock."""


class Watch:
    """Looks at its members from time to time, for as long as there are some."""

    def __init__(self) -> None:
        self._members: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, member: Watched) -> None:
        """Look at a connection until it is discarded."""
        self._members.add(member)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self._look)

    def discard(self, member: Watched) -> None:
        """Look at it no more."""
        self._members.discard(member)

    def close(self) -> None:
        """Look at nothing any more."""
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PERIOD, self._look) if self._members else None
        now = loop.time()
        for member in list(self._members):
            member.look(now)
