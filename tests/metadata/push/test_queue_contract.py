"""What every PushQueue does: add a constructor to IMPLEMENTATIONS, and its tests are here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from metadata.push.protocol import PushQueue
from metadata.push.queue import (
    TOGETHER_SECONDS,
    SqlitePushQueue,
)
from metadata.push.table import FAR
from relay.owner import Owner
from tests.metadata.push.stand import ALICE, NOW, tokens_due

IMPLEMENTATIONS: dict[str, Callable[[Path, Owner], PushQueue]] = {
    "sqlite": lambda directory, owner: SqlitePushQueue(directory / "state", owner),
}


@pytest.fixture(params=IMPLEMENTATIONS)
async def queue(
    request: pytest.FixtureRequest, tmp_path: Path, owner: Owner
) -> AsyncIterator[PushQueue]:
    made = IMPLEMENTATIONS[request.param](tmp_path, owner)
    yield made
    await made.close()


async def test_a_push_is_claimed_once_and_gone_when_done(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a", "b"], NOW)
    first = await queue.claim(NOW, 1)
    second = await queue.claim(NOW, 100)
    assert {push.token for push in (*first.pushes, *second.pushes)} == {"a", "b"}
    assert await tokens_due(queue, NOW) == []
    for push in (*first.pushes, *second.pushes):
        assert not await queue.done(push, NOW)
    assert await tokens_due(queue, NOW + 1e6) == []


async def test_the_newest_message_comes_first(queue: PushQueue) -> None:
    for number, token in enumerate(["c", "a", "b"]):
        await queue.owe(f"{token}@example.org", [token], NOW - number)
    assert await tokens_due(queue, NOW, 1) == ["c"]
    await queue.owe("new@example.org", ["new"], NOW + 1)
    assert await tokens_due(queue, NOW + 1) == ["new", "a", "b"]


async def test_a_retry_has_the_place_of_its_message(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["fails"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.postpone(push, NOW + 2)
    await queue.owe("bob@example.org", ["older"], NOW - 5)
    await queue.owe("eve@example.org", ["newer"], NOW + 1)
    assert await tokens_due(queue, NOW + 3) == ["newer", "fails", "older"]


async def test_a_crowd_that_waits_for_its_retry_hides_nothing(queue: PushQueue) -> None:
    await queue.owe("bob@example.org", ["old"], NOW - 3600)
    await queue.owe(ALICE, [f"fails{number}" for number in range(300)], NOW)
    pushes = (await queue.claim(NOW, 300)).pushes
    await asyncio.gather(*(queue.postpone(push, NOW + 1000) for push in pushes))
    assert await tokens_due(queue, NOW + 1, 10) == ["old"]


async def test_what_waits_for_its_retry_can_be_hurried(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a", "b"], NOW)
    for push in (await queue.claim(NOW, 2)).pushes:
        await queue.postpone(push, NOW + 3000)
    assert await tokens_due(queue, NOW + 1) == []
    await queue.hurry()
    again = (await queue.claim(NOW + 1, 2)).pushes
    assert [(push.token, push.failures) for push in again] == [("b", 1), ("a", 1)]


async def test_several_messages_for_one_token_are_one_push(queue: PushQueue) -> None:
    for _ in range(5):
        await queue.owe(ALICE, ["a"], NOW)
    assert await tokens_due(queue, NOW) == ["a"]


async def test_one_token_of_two_addresses_is_two_pushes(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    await queue.owe("bob@example.org", ["a"], NOW)
    assert await tokens_due(queue, NOW) == ["a", "a"]


async def test_a_message_while_its_push_is_on_the_way_is_pushed_again(
    queue: PushQueue,
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
async def test_a_message_later_is_pushed_at_once(queue: PushQueue, later: float) -> None:
    """Also where the clock was set back meanwhile."""
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.done(push, NOW)
    await queue.owe(ALICE, ["a"], NOW + later)
    assert await tokens_due(queue, NOW + later) == ["a"]


async def test_a_failed_push_is_due_later(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.postpone(push, NOW + 30)
    claim = await queue.claim(NOW + 29, 1)
    assert (claim.pushes, claim.next_due) == ([], NOW + 30)
    (again,) = (await queue.claim(NOW + 30, 1)).pushes
    assert (again.token, again.failures, again.queued) == ("a", 1, NOW)


async def test_a_new_message_makes_a_failed_push_due_at_once(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.postpone(push, NOW + 3000)
    await queue.owe(ALICE, ["a"], NOW + 10)
    (again,) = (await queue.claim(NOW + 10, 1)).pushes
    assert (again.failures, again.queued) == (1, NOW + 10)


async def test_what_is_given_up_is_gone(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.owe(ALICE, ["a"], NOW)
    await queue.give_up(push)
    assert await tokens_due(queue, NOW + 1e6) == []


async def test_a_clock_that_was_set_back_delays_nothing(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    assert await tokens_due(queue, NOW - FAR - 1) == ["a"]


async def test_a_caller_that_is_cancelled_harms_no_other(queue: PushQueue) -> None:
    puts = [
        asyncio.ensure_future(queue.owe(f"u{n}@example.org", [f"t{n}"], NOW)) for n in range(20)
    ]
    await asyncio.sleep(0)
    for put in puts[::2]:
        put.cancel()
    await asyncio.gather(*puts, return_exceptions=True)
    assert {f"t{n}" for n in range(1, 20, 2)} <= set(await tokens_due(queue, NOW))


async def test_a_token_that_has_failed_twice_is_not_hurried_by_a_message(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    for failures in (1, 2):
        (push,) = (await queue.claim(NOW + 10 * failures, 1)).pushes
        await queue.postpone(push, NOW + 10 * failures + 10)
    await queue.owe(ALICE, ["a"], NOW + 25)
    claim = await queue.claim(NOW + 25, 1)
    assert (claim.pushes, claim.next_due) == ([], NOW + 30)
    (again,) = (await queue.claim(NOW + 30, 1)).pushes
    assert (again.failures, again.queued) == (2, NOW + 25)


async def test_an_address_can_be_passed_over(queue: PushQueue) -> None:
    await queue.owe(ALICE, [f"t{number}" for number in range(50)], NOW)
    await queue.owe("bob@example.org", ["bobs"], NOW - 5)
    claim = await queue.claim(NOW, 3, [ALICE])
    assert [push.token for push in claim.pushes] == ["bobs"]
    assert len((await queue.claim(NOW, 100)).pushes) == 50


async def probe(queue: PushQueue, failing: list[str], taken: list[str]) -> str | None:
    """The token that a probe is for; it is put back then."""
    claim = await queue.claim_probe(NOW, failing, taken)
    for push in claim.pushes:
        await queue.postpone(push, NOW)
    assert len(claim.pushes) <= 1
    return claim.pushes[0].token if claim.pushes else None


async def test_a_probe_is_for_an_address_that_does_not_fail_and_a_token_that_was_taken(
    queue: PushQueue,
) -> None:
    assert await probe(queue, [], []) is None
    for age, name in enumerate(["newest", "b", "c", "oldest"]):
        await queue.owe(f"{name}@example.org", [name], NOW - age)
    fails = [f"{name}@example.org" for name in ("newest", "b", "c", "oldest")]
    assert await probe(queue, [], []) == "newest"
    assert await probe(queue, fails[:1], []) == "b"
    assert await probe(queue, fails[:2], ["oldest", "b"]) == "oldest"
    # Where every address fails, the one that failed the longest ago.
    assert await probe(queue, fails[::-1], ["b"]) == "oldest"
    (claimed,) = (await queue.claim_probe(NOW, fails[::-1], [])).pushes
    assert claimed.token == "oldest"
    assert await probe(queue, fails[::-1], []) == "c"


async def test_what_is_not_due_is_no_probe(queue: PushQueue) -> None:
    await queue.owe(ALICE, ["a"], NOW)
    (push,) = (await queue.claim(NOW, 1)).pushes
    await queue.postpone(push, NOW + 30)
    claim = await queue.claim_probe(NOW + 29, [], [])
    assert (claim.pushes, claim.next_due) == ([], NOW + 30)


async def test_a_token_that_is_set_no_more_is_owed_nothing(queue: PushQueue) -> None:
    """However often an address replaces its tokens, it has no more rows than tokens."""
    await queue.owe("bob@example.org", ["bobs"], NOW)
    for number in range(5):
        await queue.owe(ALICE, [f"t{number}", "stays"], NOW)
    assert (await queue.backlog())[0] == 3
    pushes = (await queue.claim(NOW, 10)).pushes
    assert sorted(push.token for push in pushes) == ["bobs", "stays", "t4"]
    await queue.owe(ALICE, ["new"], NOW)
    for push in pushes:
        assert not await queue.done(push, NOW)
    assert await tokens_due(queue, NOW) == ["new"]


async def test_ids_are_unique_and_never_used_again(queue: PushQueue) -> None:
    seen: set[int] = set()
    for turn in range(5):
        await queue.owe(ALICE, ["a", "b"], NOW + turn)
        for push in (await queue.claim(NOW + turn, 2)).pushes:
            assert push.id not in seen
            seen.add(push.id)
            await queue.done(push, NOW + turn)
    assert len(seen) == 10


async def test_the_backlog_is_counted(queue: PushQueue) -> None:
    assert await queue.backlog() == (0, None)
    await queue.owe(ALICE, ["a", "b"], NOW)
    await queue.owe("bob@example.org", ["c"], NOW - 5)
    assert await queue.backlog() == (3, NOW - 5)
