"""Accounts on their way through the threads that hash and the one that stores."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from doveauth.hashing import HashingFailed, hash_password
from doveauth.making import Maker
from relay.mailbox.directory import BlockedMailbox, Mailbox
from tests.support import DEADLINE, eventually

MOST = 4


class Shelf:
    """Stores in memory, and only while it is open."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.held: dict[str, str | Exception] = {}
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def store(self, accounts: list[tuple[Mailbox, str]]) -> Sequence[str | Exception]:
        self.batches.append([mailbox.path.name for mailbox, _ in accounts])
        self.open.wait(DEADLINE)
        if self.broken:
            raise OSError(5, "Input/output error")
        return [self.held.setdefault(mailbox.path.name, hashed) for mailbox, hashed in accounts]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def maker(shelf: Shelf) -> Iterator[Maker]:
    maker = Maker(shelf.store, 2, MOST)
    yield maker
    shelf.open.set()
    maker.close()


def mailbox(name: str) -> Mailbox:
    return Mailbox(Path("/nowhere") / name)


async def test_each_has_the_hash_of_its_own_password(maker: Maker) -> None:
    names = [f"name{number}" for number in range(20)]
    made = await asyncio.gather(*(maker.make(mailbox(name), f"of {name}") for name in names))
    for name, (password_hash, is_new) in zip(names, made, strict=True):
        assert hash_password(f"of {name}", password_hash.split("$")[2]) == password_hash
        assert is_new
    assert len({password_hash.split("$")[2] for password_hash, _ in made}) == 20


async def test_who_was_there_before_is_told_as_such(maker: Maker, shelf: Shelf) -> None:
    shelf.held["name"] = "an earlier hash"
    assert await maker.make(mailbox("name"), "password1") == ("an earlier hash", False)


async def test_what_is_hashed_while_the_disk_is_busy_is_stored_together(
    maker: Maker, shelf: Shelf
) -> None:
    shelf.open.clear()
    first = asyncio.ensure_future(maker.make(mailbox("first"), "password1"))
    await eventually(lambda: len(shelf.batches) == 1, "the first batch")
    rest = [asyncio.ensure_future(maker.make(mailbox(f"{n}"), "password1")) for n in range(6)]
    await eventually(lambda: maker.waiting == 6, "six more hashes")
    assert not any(task.done() for task in (first, *rest))
    shelf.open.set()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in shelf.batches] == [1, MOST, 2]


async def test_an_error_is_its_askers_alone(maker: Maker, shelf: Shelf) -> None:
    shelf.held["blocked"] = BlockedMailbox()
    answers = await asyncio.gather(
        maker.make(mailbox("one"), "password1"),
        maker.make(mailbox("blocked"), "password1"),
        maker.make(mailbox("nul"), "pass\0word"),
        maker.make(mailbox("two"), "password1"),
        return_exceptions=True,
    )
    kinds = [answer if isinstance(answer, tuple) else type(answer) for answer in answers]
    assert kinds[1:3] == [BlockedMailbox, HashingFailed]
    assert {each for batch in shelf.batches for each in batch} == {"one", "blocked", "two"}


async def test_a_store_that_fails_fails_those_it_was_given(maker: Maker, shelf: Shelf) -> None:
    shelf.broken = True
    with pytest.raises(OSError, match="Input/output error"):
        await maker.make(mailbox("one"), "password1")
    shelf.broken = False
    assert (await maker.make(mailbox("one"), "password1")).is_new


async def test_who_leaves_takes_nobody_with_him(maker: Maker) -> None:
    leaving = asyncio.ensure_future(maker.make(mailbox("one"), "password1"))
    staying = asyncio.ensure_future(maker.make(mailbox("two"), "password1"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).is_new
    assert (await maker.make(mailbox("three"), "password1")).is_new


async def test_closing_makes_what_was_asked_and_ends_the_threads(shelf: Shelf) -> None:
    maker = Maker(shelf.store, 2, MOST)
    asked = [asyncio.ensure_future(maker.make(mailbox(f"{n}"), "password1")) for n in range(20)]
    await asyncio.sleep(0)
    await asyncio.to_thread(maker.close)
    assert all(made.is_new for made in await asyncio.gather(*asked))
    assert not [t.name for t in threading.enumerate() if t.name.startswith("accounts-")]


def test_one_that_made_nothing_has_no_threads(shelf: Shelf) -> None:
    maker = Maker(shelf.store, 2, MOST)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("accounts-")]
    maker.close()
