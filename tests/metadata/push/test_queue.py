import asyncio
import logging
import sqlite3
from pathlib import Path

import pytest

from metadata.push.queue import FILE, MAX_IN_MEMORY, TOGETHER_SECONDS, SqlitePushQueue
from metadata.push.table import FAR, FIRST_IN_MEMORY
from relay.owner import Owner
from tests.support import eventually

ALICE = "alice@example.org"
NOW = 1_800_000_000.0


async def tokens_due(queue: SqlitePushQueue, now: float, limit: int = 100) -> list[str]:
    return [push.token for push in (await queue.claim(now, limit)).pushes]


async def reopened(queue: SqlitePushQueue, tmp_path: Path, owner: Owner) -> SqlitePushQueue:
    await queue.close()
    return SqlitePushQueue(tmp_path / "state", owner)


async def test_a_push_is_claimed_once_and_gone_when_done(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["a", "b"], NOW)
    first = await queue.claim(NOW, 1)
    second = await queue.claim(NOW, 100)
    assert {push.token for push in (*first.pushes, *second.pushes)} == {"a", "b"}
    assert await tokens_due(queue, NOW) == []
    for push in (*first.pushes, *second.pushes):
        assert not await queue.done(push, NOW)
    assert await tokens_due(queue, NOW + 1e6) == []


async def test_the_newest_message_comes_first(queue: SqlitePushQueue) -> None:
    for number, token in enumerate(["c", "a", "b"]):
        await queue.owe(ALICE, [token], NOW - number)
    assert await tokens_due(queue, NOW, 1) == ["c"]
    await queue.owe(ALICE, ["new"], NOW + 1)
    assert await tokens_due(queue, NOW + 1) == ["new", "a", "b"]


async def test_a_retry_has_the_place_of_its_message(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["fails"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.postpone(push, NOW + 2)
    await queue.owe(ALICE, ["older"], NOW - 5)
    await queue.owe(ALICE, ["newer"], NOW + 1)
    assert await tokens_due(queue, NOW + 3) == ["newer", "fails", "older"]


async def test_a_crowd_that_waits_for_its_retry_hides_nothing(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["old"], NOW - 3600)
    await queue.owe(ALICE, [f"fails{number}" for number in range(300)], NOW)
    pushes = (await queue.claim(NOW, 300)).pushes
    await asyncio.gather(*(queue.postpone(push, NOW + 1000) for push in pushes))
    assert await tokens_due(queue, NOW + 1, 10) == ["old"]


async def test_what_waits_for_its_retry_can_be_hurried(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["a", "b"], NOW)
    for push in (await queue.claim(NOW, 2)).pushes:
        await queue.postpone(push, NOW + 3000)
    assert await tokens_due(queue, NOW + 1) == []
    await queue.hurry()
    again = (await queue.claim(NOW + 1, 2)).pushes
    assert [(push.token, push.failures) for push in again] == [("b", 1), ("a", 1)]


async def test_several_messages_for_one_token_are_one_push(queue: SqlitePushQueue) -> None:
    for _ in range(5):
        await queue.owe(ALICE, ["a"], NOW)
    assert await tokens_due(queue, NOW) == ["a"]


async def test_one_token_of_two_addresses_is_two_pushes(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    await queue.owe("bob@example.org", ["a"], NOW)
    assert await tokens_due(queue, NOW) == ["a", "a"]


async def test_a_message_while_its_push_is_on_the_way_is_pushed_again(
    queue: SqlitePushQueue,
) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.owe(ALICE, ["a"], NOW)
    assert await queue.done(push, NOW)
    claim = await queue.claim(NOW, 1)
    assert (claim.pushes, claim.next_due) == ([], NOW + TOGETHER_SECONDS)
    (again,) = (await queue.claim(NOW + TOGETHER_SECONDS, 1)).pushes
    assert not await queue.done(again, NOW + TOGETHER_SECONDS)
    assert await tokens_due(queue, NOW + 1e6) == []


@pytest.mark.parametrize("later", [TOGETHER_SECONDS, -5.0, -1e6])
async def test_a_message_later_is_pushed_at_once(queue: SqlitePushQueue, later: float) -> None:
    """Also where the clock was set back meanwhile."""
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.done(push, NOW)
    await queue.owe(ALICE, ["a"], NOW + later)
    assert await tokens_due(queue, NOW + later) == ["a"]


async def test_a_failed_push_is_due_later(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.postpone(push, NOW + 30)
    claim = await queue.claim(NOW + 29, 1)
    assert (claim.pushes, claim.next_due) == ([], NOW + 30)
    (again,) = (await queue.claim(NOW + 30, 1)).pushes
    assert (again.token, again.failures, again.queued) == ("a", 1, NOW)


async def test_a_new_message_makes_a_failed_push_due_at_once(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.postpone(push, NOW + 3000)
    await queue.owe(ALICE, ["a"], NOW + 10)
    (again,) = (await queue.claim(NOW + 10, 1)).pushes
    assert (again.failures, again.queued) == (1, NOW + 10)


async def test_what_is_given_up_is_gone(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.owe(ALICE, ["a"], NOW)
    await queue.give_up(push)
    assert await tokens_due(queue, NOW + 1e6) == []


async def test_a_clock_that_was_set_back_delays_nothing(queue: SqlitePushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    assert await tokens_due(queue, NOW - FAR - 1) == ["a"]


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


async def test_a_caller_that_is_cancelled_harms_no_other(queue: SqlitePushQueue) -> None:
    puts = [asyncio.ensure_future(queue.owe(ALICE, [f"t{n}"], NOW)) for n in range(20)]
    await asyncio.sleep(0)
    for put in puts[::2]:
        put.cancel()
    await asyncio.gather(*puts, return_exceptions=True)
    assert {f"t{n}" for n in range(1, 20, 2)} <= set(await tokens_due(queue, NOW))


async def test_only_our_user_reads_the_directory(queue: SqlitePushQueue, tmp_path: Path) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


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


async def fill(queue: SqlitePushQueue) -> None:
    """Use up the free space in the pages there are."""
    await queue.owe("filler@example.org", ["f" * 4000 + str(n) for n in range(20)], NOW + 1e9)


async def test_a_full_disk_keeps_pushes_in_memory_and_says_so_once(
    queue: SqlitePushQueue, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.owe(ALICE, ["before"], NOW)
    with FullDisk(queue):
        for number in range(30):
            await queue.owe(ALICE, [f"{number}" * 1500], NOW)
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
            await queue.owe(ALICE, [f"{number}" * 1500], NOW)
        claim = await queue.claim(NOW + 100, 1)
    assert [push.id > FIRST_IN_MEMORY for push in claim.pushes] == [True]


async def test_a_directory_that_cannot_be_had_keeps_pushes_in_memory(
    tmp_path: Path, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a directory")
    queue = SqlitePushQueue(tmp_path / "file" / "state", owner)
    assert (await queue.claim(NOW, 1)).pushes == []
    for number in range(3):
        await queue.owe(ALICE, [f"t{number}"], NOW)
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
    await queue.owe(ALICE, ["more"], NOW)
    assert len(await tokens_due(queue, NOW, MAX_IN_MEMORY * 2)) == MAX_IN_MEMORY
    assert "memory full" in caplog.text
    await queue.close()


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
