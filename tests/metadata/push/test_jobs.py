import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from metadata.push.jobs import MANY, Job, Jobs
from tests.support import DEADLINE

LONG = 1000.0
"""A moment that no test waits for."""


def job(name: str, *, writes: bool = True, may_wait: bool = False) -> Job[None, str]:
    loop = asyncio.new_event_loop()
    try:
        answer: asyncio.Future[str] = loop.create_future()
    finally:
        loop.close()
    return Job(lambda _: name, lambda: name, answer, writes, may_wait)


def names(batch: list[Job[None, Any]]) -> list[Any]:
    return [each.work(None) for each in batch]


def test_what_is_there_is_one_batch_in_its_order() -> None:
    jobs: Jobs[None] = Jobs()
    for name in "abc":
        jobs.put(job(name))
    batch, more = jobs.take()
    assert (names(batch), more) == (["a", "b", "c"], True)


def test_a_batch_has_an_end() -> None:
    jobs: Jobs[None] = Jobs()
    for number in range(MANY + 1):
        jobs.put(job(str(number)))
    assert [len(jobs.take()[0]) for _ in range(2)] == [MANY, 1]


def test_what_may_wait_comes_with_the_next_that_writes() -> None:
    jobs: Jobs[None] = Jobs(LONG)
    jobs.put(job("patient", may_wait=True))
    jobs.put(job("reads", writes=False))
    assert names(jobs.take()[0]) == ["reads"]
    jobs.put(job("writes"))
    assert names(jobs.take()[0]) == ["patient", "writes"]


def test_what_may_wait_waits_for_a_moment_only() -> None:
    jobs: Jobs[None] = Jobs(0.05)
    for name in "ab":
        jobs.put(job(name, may_wait=True))
    begun = time.monotonic()
    assert names(jobs.take()[0]) == ["a", "b"]
    assert time.monotonic() - begun >= 0.05


def test_many_that_may_wait_do_not() -> None:
    jobs: Jobs[None] = Jobs(LONG)
    for number in range(MANY):
        jobs.put(job(str(number), may_wait=True))
    assert len(jobs.take()[0]) == MANY


@pytest.mark.parametrize("before", [[], ["a"], ["a", "b"]])
def test_at_the_end_nothing_is_left(before: list[str]) -> None:
    jobs: Jobs[None] = Jobs(LONG)
    for name in before:
        jobs.put(job(name, may_wait=True))
    jobs.end()
    batch, more = jobs.take()
    assert (names(batch), more) == (before, False)


@pytest.mark.parametrize("put", [lambda jobs: jobs.put(job("late")), lambda jobs: jobs.end()])
def test_a_thread_that_waits_is_woken(put: Callable[[Jobs[None]], None]) -> None:
    jobs: Jobs[None] = Jobs(LONG)
    jobs.put(job("patient", may_wait=True))
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.extend(names(jobs.take()[0])), daemon=True)
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    put(jobs)
    thread.join(DEADLINE)
    assert taken[0] == "patient"
