"""Jobs for one thread, handed out in batches: what is done together costs one commit.

Some jobs may wait: that a push was taken need not be on the disk at once, as all that a crash could
do is repeat it. They come along with the next job that writes, or after a moment. Those that only
read do not wait for either.
"""

import asyncio
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
P = TypeVar("P")

MOMENT = 0.05
"""Seconds that a job may wait which may."""
MANY = 500
"""Jobs that wait no longer, or are one batch."""


@dataclass(frozen=True, slots=True)
class Job(Generic[P, T]):
    """Work at a place `P`, and instead of it where that fails.

    An exception that they return is raised to the caller; one that they raise is everybody's.
    """

    work: Callable[[P], T | Exception]
    instead: Callable[[], T | Exception]
    answer: "asyncio.Future[T]"
    writes: bool = True
    may_wait: bool = False


class Jobs(Generic[P]):
    """What is to be done: put by an event loop, taken by one thread."""

    def __init__(self, moment: float = MOMENT) -> None:
        self._moment = moment
        self._queue: queue.SimpleQueue[Job[P, Any] | None] = queue.SimpleQueue()
        self._waiting: list[Job[P, Any]] = []
        self._since = 0.0

    def put(self, job: Job[P, Any]) -> None:
        """Have `job` done."""
        self._queue.put(job)

    def end(self) -> None:
        """There will be no more."""
        self._queue.put(None)

    def take(self) -> tuple[list[Job[P, Any]], bool]:
        """The next batch, for which this waits, and whether there will be another."""
        while True:
            found = self._found()
            jobs = [job for job in found if job is not None]
            if len(jobs) < len(found):
                return [*self._all_that_wait(), *jobs], False
            now = [job for job in jobs if not job.may_wait]
            self._let_wait([job for job in jobs if job.may_wait])
            if self._waiting and (any(job.writes for job in now) or self._is_time()):
                return [*self._all_that_wait(), *now], True
            if now:
                return now, True

    def _found(self) -> list[Job[P, Any] | None]:
        """What has been put; none where those that wait have waited for long enough."""
        jobs: list[Job[P, Any] | None] = []
        try:
            rest = self._since + self._moment - time.monotonic()
            jobs.append(self._queue.get(timeout=max(rest, 0.0) if self._waiting else None))
            while len(jobs) < MANY:
                jobs.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return jobs

    def _let_wait(self, jobs: list[Job[P, Any]]) -> None:
        if jobs and not self._waiting:
            self._since = time.monotonic()
        self._waiting += jobs

    def _is_time(self) -> bool:
        return len(self._waiting) >= MANY or time.monotonic() >= self._since + self._moment

    def _all_that_wait(self) -> list[Job[P, Any]]:
        jobs, self._waiting = self._waiting, []
        return jobs
