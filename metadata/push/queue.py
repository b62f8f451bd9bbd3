"""The pushes that are owed: a PushQueue in SQLite, durable, behind one thread.

Theory of operation.

1. All work on the database is a job for one thread, which takes every job that waits and does them
   in one transaction: under load, many callers share one fsync. A caller has its answer once the
   transaction is committed, and not before.
2. A push is claimed before it is tried, in memory only: after a crash nothing is claimed, and what
   had not been settled is tried again. That may repeat a push, and never loses one.
3. While the disk is full or broken, pushes are kept in memory instead (best effort, reported
   loudly) until it works again. A damaged database is set aside, and a new one begun.
4. A moment after something was written, the log is emptied: until then, addresses and tokens of
   pushes that were delivered are still in the files. Files that were set aside are deleted in time.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from metadata.push.protocol import Claim, Push
from metadata.push.table import FIRST_IN_MEMORY, PushTable, is_damage
from relay.log import unexpected
from relay.owner import Owner

log = logging.getLogger(__name__)

FILE = "push.sqlite3"
TOGETHER_SECONDS = 1.0
"""Messages that come while their token's push is on the way are one push, so long after it."""
TIDY_SECONDS = 10.0
"""How long after a delivery its address and token may still be in the files."""
ASIDE_SECONDS = 7 * 86400.0
"""How long a damaged database is kept."""
MAX_IN_MEMORY = 10_000
"""Pushes kept while the disk is in trouble; more are not kept."""
_REOPEN_SECONDS = 30.0
_MANY = 500
"""Jobs of one transaction."""

T = TypeVar("T")
_Tables = tuple[PushTable, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """Work on the disk's table, and instead of it if that fails."""

    work: Callable[[PushTable], Any]
    instead: Callable[[], Any]
    answer: "asyncio.Future[Any]"
    writes: bool
    durable: bool


class SqlitePushQueue:
    """A PushQueue in the database of one directory. For one event loop."""

    def __init__(self, directory: Path, owner: Owner, tidy_seconds: float = TIDY_SECONDS) -> None:
        """`tidy_seconds`: how long a trace of what was delivered may stay in the files."""
        self._path = directory / FILE
        self._owner = owner
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # From here on, what only the thread touches.
        self._disk: PushTable | None = None
        self._memory = PushTable.in_memory()
        self._claimed: set[int] = set()
        self._unsettled: dict[int, Push] = {}
        self._trouble = False
        self._reopen_at = 0.0
        self._tidy_seconds = tidy_seconds
        self._tidy_at: float | None = None
        self._thread = threading.Thread(target=self._work, name="push queue", daemon=True)
        self._thread.start()

    async def owe(self, address: str, tokens: Sequence[str], now: float) -> None:
        """As `PushQueue` says."""
        await self._do(
            lambda disk: disk.add(address, tokens, now),
            lambda: self._keep_in_memory(address, tokens, now),
        )

    async def claim(self, now: float, most: int, passed_over: Collection[str] = ()) -> Claim:
        """As `PushQueue` says."""
        return await self._read(lambda tables: self._claim(tables, now, most, passed_over))

    async def claim_probe(self, now: float, failing: Sequence[str], taken: Sequence[str]) -> Claim:
        """As `PushQueue` says."""
        return await self._read(lambda tables: self._claim_probe(tables, now, failing, taken))

    async def done(self, push: Push, now: float) -> bool:
        """As `PushQueue` says."""
        return await self._settle(
            push, lambda table: table.remove(push, now + TOGETHER_SECONDS), lambda: False
        )

    async def give_up(self, push: Push) -> None:
        """As `PushQueue` says."""
        await self._settle(push, lambda table: table.forget(push), lambda: None)

    async def postpone(self, push: Push, due: float) -> None:
        """As `PushQueue` says."""
        await self._settle(
            push, lambda table: table.postpone(push, due), lambda: self._memory.adopt(push, due)
        )

    async def hurry(self) -> None:
        """As `PushQueue` says."""

        def hurry(*tables: PushTable) -> None:
            for table in tables:
                table.hurry()

        await self._do(lambda disk: hurry(disk, self._memory), lambda: hurry(self._memory))

    async def backlog(self) -> tuple[int, float | None]:
        """As `PushQueue` says."""
        return await self._read(_backlog)

    async def close(self) -> None:
        """As `PushQueue` says."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _do(
        self,
        work: Callable[[PushTable], T],
        instead: Callable[[], T],
        *,
        writes: bool = True,
        durable: bool = True,
    ) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, instead, answer, writes, durable))
        return await answer

    async def _read(self, question: Callable[[_Tables], T]) -> T:
        """Ask of both tables; of the one in memory alone if the other cannot be read."""

        def without() -> T:
            # A disk that takes no more can often be read.
            if self._disk is not None:
                try:
                    return question((self._memory, self._disk))
                except sqlite3.Error:
                    pass
            return question((self._memory,))

        return await self._do(lambda disk: question((self._memory, disk)), without, writes=False)

    async def _settle(
        self, push: Push, change: Callable[[PushTable], T], instead: Callable[[], T]
    ) -> T:
        is_in_memory = push.id > FIRST_IN_MEMORY

        def in_its_table(disk: PushTable) -> T:
            result = change(self._memory if is_in_memory else disk)
            self._claimed.discard(push.id)
            return result

        def without() -> T:
            if is_in_memory:
                return in_its_table(self._memory)
            # The row stays, and stays claimed; it goes once the disk works again.
            self._unsettled[push.id] = push
            return instead()

        return await self._do(in_its_table, without, durable=False)

    # What follows runs in the thread.

    def _work(self) -> None:
        while None not in (batch := self._take()):
            self._do_all([job for job in batch if job])
            if self._tidy_at is not None and time.monotonic() >= self._tidy_at:
                self._tidy()
        self._do_all([job for job in batch if job])
        if self._disk is not None:
            self._disk.close()
        self._memory.close()

    def _take(self) -> list[_Job | None]:
        """Wait for jobs, or until it is time to tidy."""
        rest = None if self._tidy_at is None else max(self._tidy_at - time.monotonic(), 0.0)
        jobs: list[_Job | None] = []
        try:
            jobs.append(self._jobs.get(timeout=rest))
            while len(jobs) < _MANY:
                jobs.append(self._jobs.get_nowait())
        except queue.Empty:
            pass
        return jobs

    def _do_all(self, batch: Sequence[_Job]) -> None:
        if not batch:
            return
        claimed = set(self._claimed)
        results: list[Any] | Exception
        try:
            results = self._run(batch)
        except Exception as error:  # noqa: BLE001 - the thread outlives any one batch
            # What the batch claimed reaches nobody, so it must not stay claimed.
            self._claimed = claimed
            unexpected(log, "work on the push queue", error)
            results = error
        batch[0].answer.get_loop().call_soon_threadsafe(_answer, batch, results)

    def _run(self, batch: Sequence[_Job]) -> list[Any]:
        claimed = set(self._claimed)
        try:
            try:
                return self._transaction(batch)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._set_aside(error)
                claimed = set(self._claimed)
                return self._transaction(batch)
        except (sqlite3.Error, OSError) as error:
            # What the batch claimed before it failed is unclaimed again.
            self._claimed = claimed
            self._report_trouble(error)
            return [job.instead() for job in batch]

    def _transaction(self, batch: Sequence[_Job]) -> list[Any]:
        disk = self._opened()
        if not any(job.writes for job in batch):
            return [job.work(disk) for job in batch]
        try:
            disk.begin(durable=any(job.writes and job.durable for job in batch))
            for push in self._unsettled.values():
                disk.remove(push)
            results = [job.work(disk) for job in batch]
            disk.commit()
        except BaseException:
            disk.rollback()
            raise
        self._claimed.difference_update(self._unsettled)
        self._unsettled.clear()
        self._report_recovery()
        if self._tidy_at is None:
            self._tidy_at = time.monotonic() + self._tidy_seconds
        return results

    def _opened(self) -> PushTable:
        if self._disk is None:
            if time.monotonic() < self._reopen_at:
                raise sqlite3.OperationalError("the database could not be opened")
            self._reopen_at = time.monotonic() + _REOPEN_SECONDS
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._disk = PushTable.on_disk(self._path)
            for path in (self._path.parent, *self._path.parent.glob(f"{FILE}*")):
                self._owner.take(path)
            self._tidy_at = time.monotonic()
        return self._disk

    def _tidy(self) -> None:
        self._tidy_at = None
        try:
            if self._disk is not None:
                self._disk.tidy()
            for path in self._path.parent.glob(f"{FILE}*.corrupt-*"):
                if time.time() - path.stat().st_mtime > ASIDE_SECONDS:
                    path.unlink()
        except (sqlite3.Error, OSError) as error:
            # The next write meets the same trouble and reports it.
            log.debug("the push queue cannot be tidied: %s", error)
            self._tidy_at = time.monotonic() + self._tidy_seconds

    def _claim(self, tables: _Tables, now: float, most: int, passed_over: Collection[str]) -> Claim:
        # What is in memory only comes first: a restart would lose it.
        pushes: list[Push] = []
        for table in tables:
            pushes += table.due(now, most - len(pushes), self._claimed, passed_over)
        return self._claimed_now(tables, now, pushes)

    def _claim_probe(
        self, tables: _Tables, now: float, failing: Sequence[str], taken: Sequence[str]
    ) -> Claim:
        found = [table.probe(now, self._claimed, failing, taken) for table in tables]
        best = min(filter(None, found), key=lambda each: each[0], default=None)
        return self._claimed_now(tables, now, [best[1]] if best else [])

    def _claimed_now(self, tables: _Tables, now: float, pushes: Sequence[Push]) -> Claim:
        later = [moment for table in tables if (moment := table.next_due(now)) is not None]
        self._claimed.update(push.id for push in pushes)
        return Claim(pushes, min(later, default=None))

    def _keep_in_memory(self, address: str, tokens: Sequence[str], now: float) -> None:
        room = MAX_IN_MEMORY - self._memory.count()
        if room < len(tokens):
            log.error("the push queue's disk is in trouble and its memory full: pushes are lost")
        self._memory.add(address, tokens[: max(room, 0)], now)

    def _set_aside(self, error: sqlite3.Error) -> None:
        if self._disk is not None:
            self._disk.close()
        self._disk = None
        self._reopen_at = 0.0
        self._claimed = {number for number in self._claimed if number > FIRST_IN_MEMORY}
        self._unsettled.clear()
        aside = f"corrupt-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            path = self._path.with_name(name)
            if path.exists():
                path.rename(path.with_name(f"{name}.{aside}"))
                path.with_name(f"{name}.{aside}").touch()
        log.error(
            "the push queue %s is corrupt (%s): it is kept as %s.%s for %d days and a new one "
            "begun; pushes that were in it are lost",
            self._path,
            error,
            FILE,
            aside,
            ASIDE_SECONDS // 86400,
        )

    def _report_trouble(self, error: Exception) -> None:
        if not self._trouble:
            log.error(
                "the push queue %s cannot be used (%s): pushes are kept in memory only, "
                "and a restart loses them; is the disk full, or not ours to write?",
                self._path,
                error,
            )
        self._trouble = True

    def _report_recovery(self) -> None:
        if self._trouble:
            log.warning("the push queue %s can be used again", self._path)
        self._trouble = False


def _answer(batch: Sequence[_Job], results: Sequence[Any] | Exception) -> None:
    """Answer the callers, in their loop; one that was cancelled meanwhile waits for nothing."""
    for number, job in enumerate(batch):
        if job.answer.done():
            continue
        if isinstance(results, Exception):
            job.answer.set_exception(results)
        else:
            job.answer.set_result(results[number])


def _backlog(tables: _Tables) -> tuple[int, float | None]:
    moments = [moment for table in tables if (moment := table.oldest()) is not None]
    return sum(table.count() for table in tables), min(moments, default=None)
