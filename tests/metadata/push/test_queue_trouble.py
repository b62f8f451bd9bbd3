"""The queue while its disk is full, broken or damaged."""

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from pathlib import Path

import pytest

from metadata.push.queue import (
    ASIDE_SECONDS,
    FILE,
    MAX_IN_MEMORY,
    SqlitePushQueue,
)
from metadata.push.table import FIRST_IN_MEMORY, is_damage
from relay.owner import Owner
from tests.metadata.push.stand import ALICE, NOW, tokens_due
from tests.support import eventually


@pytest.mark.parametrize("damage", ["not a database", "pages overwritten"])
async def test_a_corrupt_database_is_set_aside(
    tmp_path: Path, owner: Owner, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = tmp_path / "state" / FILE
    queue = SqlitePushQueue(path.parent, owner)
    await queue.owe(ALICE, [f"{n}" * 1000 for n in range(100)], NOW)
    await queue.close()
    if damage == "not a database":
        path.write_bytes(b"garbage" * 1000)
    else:
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    queue = SqlitePushQueue(path.parent, owner)
    await queue.owe(ALICE, ["new"], NOW)
    assert "is corrupt" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR
    assert await tokens_due(queue, NOW) == ["new"]
    await queue.close()
    assert len(list(path.parent.glob(f"{FILE}.corrupt-*"))) == 1
    again = SqlitePushQueue(path.parent, owner)
    assert await tokens_due(again, NOW) == ["new"]
    await again.close()


class FullDisk:
    """A database that cannot grow: SQLite's own limit gives the very error of a full disk."""

    def __init__(self, queue: SqlitePushQueue) -> None:
        self._queue = queue

    def __enter__(self) -> None:
        self._pragma("PRAGMA max_page_count = 1")

    def __exit__(self, *_: object) -> None:
        self._pragma("PRAGMA max_page_count = 1000000")

    def _pragma(self, text: str) -> None:
        assert self._queue._disk is not None
        self._queue._disk._connection.execute(text).fetchall()


async def test_a_full_disk_keeps_pushes_in_memory_and_says_so_once(
    queue: SqlitePushQueue, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.owe(ALICE, ["before"], NOW)
    with FullDisk(queue):
        for number in range(30):
            await queue.owe(f"u{number}@example.org", [f"{number}" * 1500], NOW)
        errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(errors) == 1
        assert "full" in errors[0].getMessage()
        claim = await queue.claim(NOW, 100)
        assert len(claim.pushes) == 31
        kept = [push for push in claim.pushes if push.id > FIRST_IN_MEMORY]
        assert kept
        (before,) = (push for push in claim.pushes if push.token == "before")
        for push in claim.pushes:
            if push is not before:
                await queue.done(push, NOW)
        await queue.postpone(before, NOW + 1)
        assert await tokens_due(queue, NOW) == []
        (again,) = (await queue.claim(NOW + 1, 100)).pushes
        assert again.token == "before"
        await queue.done(again, NOW)
    await queue.owe(ALICE, ["after"], NOW)
    assert "can be used again" in caplog.text
    claim = await queue.claim(NOW + 1e6, 100)
    assert [push.token for push in claim.pushes] == ["after"]
    assert claim.pushes[0].id < FIRST_IN_MEMORY


async def test_what_is_in_memory_only_comes_before_what_is_on_disk(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, [f"disk{number}" * 500 for number in range(20)], NOW + 100)
    with FullDisk(queue):
        for number in range(30):
            await queue.owe(f"u{number}@example.org", [f"{number}" * 1500], NOW)
        claim = await queue.claim(NOW + 100, 1)
    assert [push.id > FIRST_IN_MEMORY for push in claim.pushes] == [True]


async def test_a_directory_that_cannot_be_had_keeps_pushes_in_memory(
    tmp_path: Path, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a directory")
    queue = SqlitePushQueue(tmp_path / "file" / "state", owner)
    assert (await queue.claim(NOW, 1)).pushes == []
    for number in range(3):
        await queue.owe(f"u{number}@example.org", [f"t{number}"], NOW)
    claim = await queue.claim(NOW, 10)
    assert [push.token for push in claim.pushes] == ["t2", "t1", "t0"]
    await queue.postpone(claim.pushes[0], NOW + 9)
    await queue.give_up(claim.pushes[1])
    await queue.done(claim.pushes[2], NOW)
    assert await tokens_due(queue, NOW + 9) == ["t2"]
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    await queue.close()


async def test_memory_is_bounded_while_the_disk_is_in_trouble(
    tmp_path: Path, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a directory")
    queue = SqlitePushQueue(tmp_path / "file" / "state", owner)
    await queue.owe(ALICE, [f"t{n}" for n in range(MAX_IN_MEMORY + 5)], NOW)
    await queue.owe("bob@example.org", ["more"], NOW)
    assert len(await tokens_due(queue, NOW, MAX_IN_MEMORY * 2)) == MAX_IN_MEMORY
    assert "memory full" in caplog.text
    await queue.close()


async def test_a_corrupt_index_is_recognised(
    tmp_path: Path, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's code for it is an extended one, and no check at the start looks at each index."""
    path = tmp_path / "state" / FILE
    queue = SqlitePushQueue(path.parent, owner)
    await queue.owe(ALICE, ["a"], NOW)
    await queue.close()
    swap_indexes(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        with pytest.raises(sqlite3.DatabaseError) as raised:
            database.execute("UPDATE push SET due = 5")
        assert raised.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT_INDEX
    queue = SqlitePushQueue(path.parent, owner)
    await queue.owe(ALICE, ["a"], NOW + 5)
    assert "is corrupt" in caplog.text
    assert "in memory only" not in caplog.text
    assert await tokens_due(queue, NOW + 5) == ["a"]
    await queue.close()


def swap_indexes(path: Path) -> None:
    """Rows are not found in the index where they should be."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA writable_schema = ON")
        pages = dict(database.execute("SELECT name, rootpage FROM sqlite_schema"))
        for name, other in (("push_at_once", "push_later"), ("push_later", "push_at_once")):
            database.execute(
                "UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (pages[other], name)
            )


@pytest.mark.parametrize(
    ("code", "damaged"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
        (sqlite3.SQLITE_CORRUPT_SEQUENCE, True),
        (sqlite3.SQLITE_CORRUPT_VTAB, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_IOERR_WRITE, False),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, False),
    ],
)
def test_extended_codes_of_damage(code: int, damaged: bool) -> None:
    error = sqlite3.DatabaseError()
    error.sqlite_errorcode = code
    assert is_damage(error) is damaged


async def test_what_was_set_aside_goes_after_a_while(
    tmp_path: Path, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / FILE).write_bytes(b"garbage" * 1000)
    old = time.time() - ASIDE_SECONDS - 60
    os.utime(state / FILE, (old, old))
    queue = SqlitePushQueue(state, owner, tidy_seconds=0.05)
    await queue.owe(ALICE, ["new"], NOW)
    (aside,) = state.glob(f"{FILE}.corrupt-*")
    await queue.owe(ALICE, ["new"], NOW)
    await asyncio.sleep(0.2)
    assert aside.exists(), "its days are counted from when it was set aside"
    os.utime(aside, (old, old))
    await queue.owe(ALICE, ["new"], NOW)
    await eventually(lambda: not aside.exists(), "its end")
    await queue.close()


async def test_ids_in_memory_are_none_of_those_on_disk(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["disk"], NOW)
    with FullDisk(queue):
        await queue.owe("bob@example.org", ["x" * 9000], NOW)
        pushes = (await queue.claim(NOW, 10)).pushes
    assert len({push.id for push in pushes}) == len(pushes) == 2
