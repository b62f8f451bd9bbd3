"""The pushes that are owed, durable, behind one thread.

Theory of operation. All work on the database is a job for one thread, which takes every job that
waits and does them in one transaction: under load, many callers share one fsync. A caller has its
answer once the transaction is committed, and not before.

A push is claimed before it is tried, in memory only: after a crash nothing is claimed and what had
not been settled is tried again. That may repeat a push, and never loses one.

When the disk is full or broken, pushes are kept in memory instead (best effort, reported loudly)
until it does as asked again. A database that is corrupt is set aside, and a new one begun.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from metadata.pushtable import Push, PushTable
from relay.log import unexpected
from relay.mailbox import Owner

log = logging.getLogger(__name__)

FILE = "push.sqlite3"
MAX_IN_MEMORY = 10_000
"""Pushes kept while the disk is in trouble; more are not kept."""
_REOPEN_SECONDS = 30.0
_MAX_BATCH = 1000
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claim:
    """Pushes that are the caller's to try and settle, and when the next one will be due."""

    pushes: Sequence[Push]
    next_due: float | None


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    """Work for the thread: on the disk's table, and instead of it when the disk fails."""

    on_disk: Callable[[PushTable], T]
    without: Callable[[], T]
    writes: bool = True
    answer: Future[T] = field(default_factory=Future)

    def reply(self, result: T) -> None:
        # A caller that was cancelled meanwhile waits for nothing.
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_result(result)

    def refuse(self, error: Exception) -> None:
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


class PushQueue:
    """Pushes owed, in the database of one directory."""

    def __init__(self, directory: Path, owner: Owner) -> None:
        self._path = directory / FILE
        self._owner = owner
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        # From here on, what only the thread touches.
        self._disk: PushTable | None = None
        self._memory = PushTable.in_memory()
        self._claimed: set[tuple[bool, int]] = set()
        self._unsettled: dict[int, Push] = {}
        self._trouble = False
        self._reopen_at = 0.0
        self._thread = threading.Thread(target=self._work, name="push queue", daemon=True)
        self._thread.start()

    async def put(self, address: str, tokens: Sequence[str], now: float) -> None:
        """Owe each token a push; on return that is durable. `now` in seconds since the epoch."""
        rows = [(address, token, now) for token in tokens]
        await self._do(_Job(lambda disk: disk.add(rows), lambda: self._keep_in_memory(rows)))

    async def claim(self, now: float, limit: int) -> Claim:
        """At most `limit` pushes that are due and not claimed yet."""
        return await self._do(
            _Job(
                lambda disk: self._claim((disk, self._memory), now, limit),
                lambda: self._claim_without_writing(now, limit),
                writes=False,
            )
        )

    async def done(self, push: Push) -> None:
        """The gateway took `push`."""
        await self._settle(push, lambda table: table.remove(push), lambda: None)

    async def give_up(self, push: Push) -> None:
        """Nothing is owed to the token of `push` any more."""
        await self._settle(push, lambda table: table.forget(push), lambda: None)

    async def postpone(self, push: Push, due: float) -> None:
        """`push` failed and is to be tried again at `due`."""
        await self._settle(
            push,
            lambda table: table.postpone(push, due),
            lambda: self._memory.adopt(push, due),
        )

    async def backlog(self) -> tuple[int, float | None]:
        """How many pushes are owed, and when the oldest was queued (seconds since the epoch)."""
        return await self._do(
            _Job(lambda disk: _sum(disk, self._memory), lambda: _sum(self._memory), writes=False)
        )

    async def close(self) -> None:
        """Finish what has been asked and close the database."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _do(self, job: _Job[T]) -> T:
        self._jobs.put(job)
        return await asyncio.wrap_future(job.answer)

    async def _settle(
        self, push: Push, change: Callable[[PushTable], None], instead: Callable[[], None]
    ) -> None:
        def in_its_table(disk: PushTable) -> None:
            change(disk if push.durable else self._memory)
            self._claimed.discard((push.durable, push.id))

        def without() -> None:
            if push.durable:
                # The row stays, and stays claimed; it goes once the disk does as asked.
                self._unsettled[push.id] = push
                instead()
            else:
                change(self._memory)
                self._claimed.discard((push.durable, push.id))

        await self._do(_Job(in_its_table, without))

    # What follows runs in the thread.

    def _work(self) -> None:
        running = True
        while running:
            jobs = self._waiting_jobs()
            running = jobs[-1] is not None
            batch = [job for job in jobs if job is not None]
            try:
                results = self._run(batch)
            except Exception as error:  # noqa: BLE001 - the thread outlives any one batch
                unexpected(log, "work on the push queue", error)
                for job in batch:
                    job.refuse(error)
            else:
                for job, result in zip(batch, results, strict=True):
                    job.reply(result)
        if self._disk is not None:
            self._disk.close()
        self._memory.close()

    def _waiting_jobs(self) -> list[_Job[Any] | None]:
        jobs = [self._jobs.get()]
        while jobs[-1] is not None and len(jobs) < _MAX_BATCH:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _run(self, batch: list[_Job[Any]]) -> list[Any]:
        claimed = set(self._claimed)
        try:
            try:
                return self._transaction(batch)
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", None) not in _CORRUPT:
                    raise
                self._set_aside(error)
                claimed = set(self._claimed)
                return self._transaction(batch)
        except (sqlite3.Error, OSError) as error:
            # What the batch claimed before it failed is unclaimed again.
            self._claimed = claimed
            self._report_trouble(error)
            return [job.without() for job in batch]

    def _transaction(self, batch: list[_Job[Any]]) -> list[Any]:
        writes = any(job.writes for job in batch)
        disk = self._opened()
        try:
            disk.begin()
            if writes:
                for push in self._unsettled.values():
                    disk.remove(push)
            results = [job.on_disk(disk) for job in batch]
            disk.commit()
        except BaseException:
            disk.rollback()
            raise
        if writes:
            self._claimed -= {(True, number) for number in self._unsettled}
            self._unsettled.clear()
            self._report_recovery()
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
        return self._disk

    def _claim(self, tables: Sequence[PushTable], now: float, limit: int) -> Claim:
        pushes: list[Push] = []
        later: list[float] = []
        for table in tables:
            # What is claimed still looks due, so that many more rows may have to be passed over.
            for push in table.due(now, limit + len(self._claimed)):
                if len(pushes) < limit and (push.durable, push.id) not in self._claimed:
                    self._claimed.add((push.durable, push.id))
                    pushes.append(push)
            if (moment := table.next_due(now)) is not None:
                later.append(moment)
        return Claim(pushes, min(later, default=None))

    def _claim_without_writing(self, now: float, limit: int) -> Claim:
        claimed = set(self._claimed)
        if self._disk is not None:
            try:
                return self._claim((self._disk, self._memory), now, limit)
            except sqlite3.Error:
                self._claimed = claimed
        return self._claim((self._memory,), now, limit)

    def _keep_in_memory(self, rows: Sequence[tuple[str, str, float]]) -> None:
        room = MAX_IN_MEMORY - self._memory.count()
        if room < len(rows):
            log.error("the push queue's disk is in trouble and its memory full: pushes are lost")
        self._memory.add(rows[: max(room, 0)])

    def _set_aside(self, error: sqlite3.Error) -> None:
        if self._disk is not None:
            self._disk.close()
        self._disk = None
        self._reopen_at = 0.0
        self._claimed = {key for key in self._claimed if not key[0]}
        self._unsettled.clear()
        aside = f"corrupt-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            path = self._path.with_name(name)
            if path.exists():
                path.rename(path.with_name(f"{name}.{aside}"))
        log.error(
            "the push queue %s is corrupt (%s): it is kept as %s.%s and a new one begun; "
            "pushes that were in it are lost",
            self._path,
            error,
            FILE,
            aside,
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


def _sum(*tables: PushTable) -> tuple[int, float | None]:
    moments = [moment for table in tables if (moment := table.oldest()) is not None]
    return sum(table.count() for table in tables), min(moments, default=None)
