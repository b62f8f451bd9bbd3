"""The queue on disk: what survives, what is shared, and what leaves no trace."""

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from metadata.push.queue import (
    FILE,
    SqlitePushQueue,
)
from metadata.push.table import PushTable
from relay.owner import Owner
from tests.metadata.push.stand import ALICE, NOW, tokens_due
from tests.support import eventually


async def reopened(queue: SqlitePushQueue, tmp_path: Path, owner: Owner) -> SqlitePushQueue:
    await queue.close()
    return SqlitePushQueue(tmp_path / "state", owner)


async def test_what_is_not_settled_survives_a_restart(
    queue: SqlitePushQueue, tmp_path: Path, owner: Owner
) -> None:
    await queue.owe(ALICE, ["done", "claimed", "postponed", "waiting"], NOW)
    done, _, postponed = (await queue.claim(NOW, 3)).pushes
    await queue.done(done, NOW)
    await queue.postpone(postponed, NOW + 5)
    again = await reopened(queue, tmp_path, owner)
    assert sorted(await tokens_due(again, NOW + 5)) == sorted(
        {"done", "claimed", "postponed", "waiting"} - {done.token}
    )
    await again.close()


async def test_callers_share_commits_and_all_are_kept(
    queue: SqlitePushQueue, tmp_path: Path, owner: Owner
) -> None:
    await asyncio.gather(*(queue.owe(f"u{n}@example.org", ["t"], NOW) for n in range(2000)))
    again = await reopened(queue, tmp_path, owner)
    assert len(await tokens_due(again, NOW, 5000)) == 2000
    await again.close()


async def test_only_our_user_reads_the_directory(queue: SqlitePushQueue, tmp_path: Path) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


async def drained_backlog(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, [f"{n:04}" + "x" * 1000 for n in range(4000)], NOW)
    claim = await queue.claim(NOW, 5000)
    await asyncio.gather(*(queue.done(push, NOW) for push in claim.pushes))


async def test_the_file_is_small_again_after_a_restart(
    queue: SqlitePushQueue, tmp_path: Path, owner: Owner
) -> None:
    path = tmp_path / "state" / FILE
    await drained_backlog(queue)
    again = await reopened(queue, tmp_path, owner)
    await again.claim(NOW, 1)
    await again.close()
    assert path.stat().st_size < 200_000
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


async def test_the_file_is_small_again_a_moment_after_a_backlog(
    tmp_path: Path, owner: Owner
) -> None:
    queue = SqlitePushQueue(tmp_path / "state", owner, tidy_seconds=0.2)
    await drained_backlog(queue)
    file = tmp_path / "state" / FILE
    await eventually(lambda: file.stat().st_size < 200_000, "a small file")
    await queue.close()


def traces(state: Path, *texts: str) -> list[str]:
    """The files of a directory in which one of `texts` is found."""
    return [
        path.name
        for path in state.iterdir()
        if any(text.encode() in path.read_bytes() for text in texts)
    ]


async def test_nothing_of_a_push_is_on_disk_after_its_delivery(
    tmp_path: Path, owner: Owner
) -> None:
    """500 messages and as many pushes; while others still wait, and are found."""
    state = tmp_path / "state"
    queue = SqlitePushQueue(state, owner, tidy_seconds=0.1)
    await queue.owe("waits@example.org", ["token-that-waits"], NOW)
    for number in range(0, 500, 50):
        owed = [
            queue.owe(f"user{n}@example.org", [f"openpgp:secret{n}" + "x" * 300], NOW + n)
            for n in range(number, number + 50)
        ]
        await asyncio.gather(*owed)
        pushes = (await queue.claim(NOW + 1000, 50)).pushes
        assert traces(state, "openpgp:secret")
        await asyncio.gather(*(queue.done(push, NOW + 1000) for push in pushes))
    await eventually(lambda: not traces(state, "user", "openpgp:", "secret"), "no trace of them")
    assert traces(state, "token-that-waits")
    (last,) = (await queue.claim(NOW + 1000, 50)).pushes
    await queue.done(last, NOW + 1000)
    await eventually(lambda: not traces(state, "@example.org", "token-that"), "no trace at all")
    await queue.close()


async def test_a_trace_goes_in_time_on_a_relay_that_is_never_idle(
    tmp_path: Path, owner: Owner
) -> None:
    state = tmp_path / "state"
    queue = SqlitePushQueue(state, owner, tidy_seconds=0.3)
    await queue.owe(ALICE, ["secret"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.done(push, NOW)
    assert traces(state, "secret")
    until = time.monotonic() + 3
    while traces(state, "secret"):
        await queue.owe("busy@example.org", ["another"], NOW)
        assert time.monotonic() < until, "a trace stays while others come"
    await queue.close()


async def test_an_unforeseen_fault_of_a_job_leaves_no_claim(
    queue: SqlitePushQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.owe(ALICE, ["a"], NOW)

    def fails(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(PushTable, "next_due", fails)
        with pytest.raises(RuntimeError):
            await queue.claim(NOW, 1)
    assert await tokens_due(queue, NOW) == ["a"]
