"""The pushes that are owed, durable, behind one thread.

Theory of operation. All work on the database is a job for one thread, which takes every job that
waits and does them in one transaction (`metadata.push.jobs`): under load, many callers share one
fsync, and one hop back to the event loop. A caller has its answer once the transaction is
committed, and not before.

A push is claimed before it is tried, in memory only: after a crash nothing is claimed and what had
not been settled is tried again. That may repeat a push, and never loses one.

A phone that has just been woken is not woken again for a moment: what comes for its token within
`TOGETHER_SECONDS` is one push at the end of them. Whose moment it is, is kept in memory only.

When the disk is full or broken, pushes are kept in memory instead (best effort, reported loudly)
until it does as asked again. A database that is corrupt is set aside, and a new one begun.
"""

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from metadata.push.jobs import Job, Jobs
from metadata.push.table import AT_ONCE, Owed, Push, PushTable
from relay.log import unexpected
from relay.owner import Owner

log = logging.getLogger(__name__)

FILE = "push.sqlite3"
TOGETHER_SECONDS = 1.0
"""Messages for one token are one push within so long."""
MAX_IN_MEMORY = 10_000
"""Pushes kept while the disk is in trouble; more are not kept."""
_REOPEN_SECONDS = 30.0
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claim:
    """Pushes that are the caller's to try and settle, and when the next one will be due."""

    pushes: Sequence[Push]
    next_due: float | None


class PushQueue:
    """Pushes owed, in the database of one directory. For one event loop."""

    def __init__(self, directory: Path, owner: Owner, together: float = TOGETHER_SECONDS) -> None:
        """`together`: seconds within which messages for one token are one push."""
        self._path = directory / FILE
        self._owner = owner
        self._jobs: Jobs[PushTable] = Jobs()
        # From here on, what only the thread touches.
        self._disk: PushTable | None = None
        self._memory = PushTable.in_memory()
        self._claimed: set[tuple[bool, int]] = set()
        self._unsettled: dict[int, Push] = {}
        self._woken = _Woken(together)
        self._trouble = False
        self._reopen_at = 0.0
        self._thread = threading.Thread(target=self._work, name="push queue", daemon=True)
        self._thread.start()

    async def put(self, address: str, tokens: Sequence[str], now: float) -> None:
        """Owe each token a push; on return that is durable. `now` in seconds since the epoch."""
        await self.owe(address, lambda: tokens, now)

    async def owe(self, address: str, tokens: Callable[[], Sequence[str]], now: float) -> int:
        """As `put`, for the tokens that a function has; how many they are. Raises its OSError.

        It is called in the queue's thread: to read a small file costs less than a hop to a thread
        that does nothing else.
        """

        def owed() -> list[Owed]:
            due = self._woken.due
            return [Owed(address, token, now, due(address, token, now)) for token in tokens()]

        def owe(add: Callable[[list[Owed]], None]) -> int | OSError:
            try:
                pushes = owed()
            except OSError as error:
                return error  # not the queue's trouble, but that of who asked
            add(pushes)
            return len(pushes)

        return await self._do(lambda disk: owe(disk.add), lambda: owe(self._keep_in_memory))

    async def claim(self, now: float, limit: int) -> Claim:
        """At most `limit` pushes that are due and not claimed yet, the newest messages' first."""
        return await self._do(
            lambda disk: self._claim((self._memory, disk), now, limit),
            lambda: self._claim_without_writing(now, limit),
            writes=False,
        )

    async def done(self, push: Push, now: float) -> bool:
        """The gateway took `push`; whether another message came meanwhile, whose push is owed."""

        def remove(table: PushTable) -> bool:
            self._woken.at(push.address, push.token, now)
            return table.remove(push, self._woken.due(push.address, push.token, now))

        return await self._settle(push, remove, lambda: False)

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

    async def hurry(self) -> None:
        """What failed and waits for its next try is due at once: the fault was not its own."""

        def hurry(*tables: PushTable) -> None:
            for table in tables:
                table.hurry()

        await self._do(lambda disk: hurry(disk, self._memory), lambda: hurry(self._memory))

    async def backlog(self) -> tuple[int, float | None]:
        """How many pushes are owed, and when the oldest was queued (seconds since the epoch)."""
        return await self._do(
            lambda disk: _sum(disk, self._memory), lambda: _sum(self._memory), writes=False
        )

    async def close(self) -> None:
        """Finish what has been asked and close the database."""
        self._jobs.end()
        await asyncio.to_thread(self._thread.join)

    async def _do(
        self,
        on_disk: Callable[[PushTable], T | OSError],
        without: Callable[[], T | OSError],
        *,
        writes: bool = True,
        may_wait: bool = False,
    ) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(Job(on_disk, without, answer, writes, may_wait))
        return await answer

    async def _settle(
        self, push: Push, change: Callable[[PushTable], T], instead: Callable[[], T]
    ) -> T:
        def in_its_table(disk: PushTable) -> T:
            self._claimed.discard((push.durable, push.id))
            return change(disk if push.durable else self._memory)

        def without() -> T:
            if push.durable:
                # The row stays, and stays claimed; it goes once the disk does as asked.
                self._unsettled[push.id] = push
                return instead()
            self._claimed.discard((push.durable, push.id))
            return change(self._memory)

        return await self._do(in_its_table, without, may_wait=True)

    # What follows runs in the thread.

    def _work(self) -> None:
        running = True
        while running:
            batch, running = self._jobs.take()
            results: list[Any] | Exception
            try:
                results = self._run(batch)
            except Exception as error:  # noqa: BLE001 - the thread outlives any one batch
                unexpected(log, "work on the push queue", error)
                results = error
            if batch:
                loop = batch[0].answer.get_loop()
                loop.call_soon_threadsafe(_answer, batch, results)
        if self._disk is not None:
            self._disk.close()
        self._memory.close()

    def _run(self, batch: list[Job[PushTable, Any]]) -> list[Any]:
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
            return [job.instead() for job in batch]

    def _transaction(self, batch: list[Job[PushTable, Any]]) -> list[Any]:
        disk = self._opened()
        if not any(job.writes for job in batch):
            return [job.work(disk) for job in batch]
        try:
            disk.begin()
            for push in self._unsettled.values():
                disk.remove(push)
            results = [job.work(disk) for job in batch]
            disk.commit()
        except BaseException:
            disk.rollback()
            raise
        self._claimed -= {(True, number) for number in self._unsettled}
        self._unsettled.clear()
        self._report_recovery()
        # What is done is done: trouble with this one is met by the next that writes.
        with contextlib.suppress(sqlite3.Error):
            disk.shrink()
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
        # What is in memory only comes first: a restart would lose it.
        pushes: list[Push] = []
        later: list[float] = []
        for table in tables:
            # What is claimed still looks due, so that many more rows may have to be passed over.
            due = table.due(now, limit + len(self._claimed))
            free = (number for number in due if (table.durable, number) not in self._claimed)
            chosen = list(islice(free, limit - len(pushes)))
            self._claimed.update((table.durable, number) for number in chosen)
            pushes += table.get(chosen)
            if (moment := table.next_due(now)) is not None:
                later.append(moment)
        return Claim(pushes, min(later, default=None))

    def _claim_without_writing(self, now: float, limit: int) -> Claim:
        claimed = set(self._claimed)
        if self._disk is not None:
            try:
                return self._claim((self._memory, self._disk), now, limit)
            except sqlite3.Error:
                self._claimed = claimed
        return self._claim((self._memory,), now, limit)

    def _keep_in_memory(self, owed: Sequence[Owed]) -> None:
        room = MAX_IN_MEMORY - self._memory.count()
        if room < len(owed):
            log.error("the push queue's disk is in trouble and its memory full: pushes are lost")
        self._memory.add(owed[: max(room, 0)])

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


class _Woken:
    """Who was woken a moment ago, as far as that is remembered."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._when: dict[tuple[str, str], float] = {}

    def at(self, address: str, token: str, now: float) -> None:
        """The token was pushed to at `now`, in seconds since the epoch."""
        # Begun anew, so that the first in the dictionary is always the oldest.
        self._when.pop((address, token), None)
        self._when[address, token] = now
        while (oldest := next(iter(self._when))) and not self._is_recent(oldest, now):
            del self._when[oldest]

    def due(self, address: str, token: str, now: float) -> float:
        """When a push that is owed since `now` is due."""
        key = (address, token)
        return self._when[key] + self._seconds if self._is_recent(key, now) else AT_ONCE

    def _is_recent(self, key: tuple[str, str], now: float) -> bool:
        # A clock that was set back makes nobody wait: then nothing is recent.
        return 0 <= now - self._when.get(key, -1e12) < self._seconds


def _answer(batch: Sequence[Job[PushTable, Any]], results: Sequence[Any] | Exception) -> None:
    """Tell the callers, in their loop; one that was cancelled meanwhile waits for nothing."""
    for number, job in enumerate(batch):
        if job.answer.done():
            continue
        result = results if isinstance(results, Exception) else results[number]
        if isinstance(result, Exception):
            job.answer.set_exception(result)
        else:
            job.answer.set_result(result)


def _sum(*tables: PushTable) -> tuple[int, float | None]:
    moments = [moment for table in tables if (moment := table.oldest()) is not None]
    return sum(table.count() for table in tables), min(moments, default=None)
