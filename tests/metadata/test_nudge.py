"""The nudge after a delivery: something changes in `new/`, once, and nothing is left there."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metadata.nudge import Nudger
from relay.mailbox.directory import Mailboxes
from tests.support import eventually

ALICE = "alice@relay.example"


class Watched:
    """A mailbox whose `new/` directory tells how often something changed in it."""

    def __init__(self, root: Path) -> None:
        self.new = root / ALICE / "new"
        self.new.mkdir(parents=True)
        self._before = self.new.stat().st_mtime_ns

    def changed(self) -> bool:
        return self.new.stat().st_mtime_ns != self._before

    def again(self) -> None:
        self._before = self.new.stat().st_mtime_ns


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.fixture
def nudger(tmp_path: Path) -> Iterator[Nudger]:
    made = Nudger(Mailboxes(tmp_path, "relay.example"), seconds=0.05)
    yield made
    made.close()


async def test_a_message_is_followed_by_a_change_that_leaves_nothing(
    nudger: Nudger, watched: Watched
) -> None:
    nudger.soon(ALICE)
    assert not watched.changed()
    await eventually(watched.changed, "the nudge")
    await eventually(lambda: list(watched.new.iterdir()) == [], "an empty directory")


async def test_a_message_before_the_nudge_gets_one_of_its_own(
    nudger: Nudger, watched: Watched
) -> None:
    nudger.soon(ALICE)
    nudger.soon(ALICE)
    await eventually(watched.changed, "the first nudge")
    await eventually(lambda: list(watched.new.iterdir()) == [], "its end")
    watched.again()
    await eventually(watched.changed, "the second nudge")


@pytest.mark.parametrize("left", [False, True])
async def test_no_file_is_made_for_it_where_one_can_be_linked_to(
    nudger: Nudger, watched: Watched, left: bool
) -> None:
    marker = watched.new.parent / "enforceE2EEincoming"
    marker.touch()
    if left:
        (watched.new / ".nudge").hardlink_to(marker)
        watched.again()
    changed = marker.stat().st_ctime_ns
    nudger.soon(ALICE)
    await eventually(watched.changed, "the nudge")
    await eventually(lambda: list(watched.new.iterdir()) == [], "an empty directory")
    # A file's own state tells of the links that it had (link(2)).
    assert marker.stat().st_ctime_ns > changed
    assert marker.stat().st_nlink == 1


async def test_those_who_are_due_later_are_nudged_later(
    nudger: Nudger, watched: Watched, tmp_path: Path
) -> None:
    bob = tmp_path / "bob@relay.example" / "new"
    bob.mkdir(parents=True)
    before = bob.stat().st_mtime_ns
    nudger.soon(ALICE)
    await asyncio.sleep(0.03)
    nudger.soon("bob@relay.example")
    await eventually(watched.changed, "the first nudge")
    await eventually(lambda: bob.stat().st_mtime_ns != before, "the second")


@pytest.mark.parametrize("user", ["", "no address", "../x@relay.example", "bob@relay.example"])
async def test_who_has_no_mailbox_is_left_alone(
    nudger: Nudger, watched: Watched, tmp_path: Path, user: str
) -> None:
    nudger.soon(user)
    nudger.soon(ALICE)
    await eventually(watched.changed, "the other's nudge")
    assert [path.name for path in tmp_path.iterdir()] == [ALICE]


async def test_many_messages_are_few_nudges(nudger: Nudger, watched: Watched) -> None:
    for number in range(10_000):
        nudger.soon(f"user{number % 10}@relay.example")
    assert len(asyncio.all_tasks()) < 10
    assert threading.active_count() < 20
    nudger.soon(ALICE)
    await eventually(watched.changed, "a nudge after many")
