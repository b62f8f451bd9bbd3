"""Accounts in mailbox directories: the contract, existing relays' form, and disks in trouble."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doveauth.stores.files import READERS, FileAccounts
from relay.address import Address
from relay.mailbox.directory import (
    ENFORCE,
    MARK,
    PASSWORD,
    Mailbox,
    Mailboxes,
    NotMounted,
    prepare_root,
)
from relay.mailbox.drafts import NotRegular
from relay.owner import Owner
from tests.doveauth.stores.contract import *  # noqa: F403 - its tests are run here
from tests.doveauth.stores.contract import DOMAIN, HASH, ONE, OTHER, Block
from tests.support import DEADLINE

NOW = 1795332101.75
TODAY = 1795305600
MYSELF = Owner(os.geteuid(), os.getegid())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    prepare_root(tmp_path / "mail", MYSELF)
    return tmp_path / "mail"


@pytest.fixture
async def store(root: Path) -> AsyncIterator[FileAccounts]:
    store = FileAccounts(Mailboxes(root, DOMAIN), MYSELF, clock=lambda: NOW)
    yield store
    await store.close()


@pytest.fixture
def block(root: Path) -> Block:
    def block(address: Address) -> None:
        (root / str(address)).mkdir(exist_ok=True)
        (root / str(address) / PASSWORD).write_bytes(b"")

    return block


async def test_an_account_has_the_form_of_existing_relays(store: FileAccounts, root: Path) -> None:
    made = await store.create(ONE, HASH)
    assert made.home == root / str(ONE)
    assert (made.home / PASSWORD).read_text() == HASH
    assert (made.home / PASSWORD).stat().st_mtime == TODAY
    assert (made.home / ENFORCE).exists()


async def test_the_mailbox_of_an_existing_relay_is_taken_over(
    store: FileAccounts, root: Path
) -> None:
    (root / str(ONE)).mkdir()
    (root / str(ONE) / PASSWORD).write_text("{PLAIN}x\n")
    account = await store.find(ONE)
    assert account is not None
    assert account.password_hash == "{PLAIN}x"
    assert await store.create(ONE, HASH) == account


async def test_a_half_made_mailbox_is_completed(store: FileAccounts, root: Path) -> None:
    (root / str(ONE)).mkdir()
    assert await store.find(ONE) is None
    assert (await store.create(ONE, HASH)).password_hash == HASH


async def test_a_login_is_recorded_by_its_day(store: FileAccounts, root: Path) -> None:
    await store.create(ONE, HASH)
    await store.touch(ONE, TODAY + 86400 * 3 + 12345)
    assert (root / str(ONE) / PASSWORD).stat().st_mtime == TODAY + 86400 * 3


async def test_a_clock_of_long_ago_makes_accounts_and_loses_no_day(root: Path) -> None:
    store = FileAccounts(Mailboxes(root, DOMAIN), MYSELF, clock=lambda: 0.0)
    await store.create(ONE, HASH)
    await store.touch(ONE, int(NOW))
    # A known day is not lost to a clock that has not been set.
    await store.touch(ONE, 5)
    assert (root / str(ONE) / PASSWORD).stat().st_mtime == TODAY
    await store.close()


@pytest.mark.parametrize("how", ["no mark", "no directory", "a file"])
async def test_where_the_disk_is_not_mounted_nobody_is_unknown_and_nobody_is_made(
    store: FileAccounts, root: Path, how: str
) -> None:
    await store.create(ONE, HASH)
    elsewhere = root.rename(root.with_name("elsewhere"))
    if how == "no mark":
        # The mount point of a disk that is mounted here.
        root.mkdir()
    elif how == "a file":
        root.write_text("no directory any more")
    for address in (ONE, OTHER):
        with pytest.raises(NotMounted, match=r"mail/\.postern is missing: mount the disk"):
            await store.find(address)
        with pytest.raises(NotMounted):
            await store.create(address, HASH)
        with pytest.raises(NotMounted):
            await store.touch(address, TODAY)
    with pytest.raises(NotMounted):
        await store.names()
    if how == "no mark":
        assert list(root.iterdir()) == []
        root.rmdir()
    elif how == "a file":
        root.unlink()
    elsewhere.rename(root)
    assert await store.find(ONE) is not None
    assert (root / MARK).exists()


async def test_a_mailbox_that_is_a_file_is_trouble_of_that_mailbox(
    store: FileAccounts, root: Path
) -> None:
    (root / str(ONE)).write_text("in the way")
    with pytest.raises(FileExistsError):
        await store.create(ONE, HASH)
    assert (await store.create(OTHER, HASH)).password_hash == HASH


async def test_a_fifo_holds_no_thread(store: FileAccounts, root: Path) -> None:
    (root / str(ONE)).mkdir()
    os.mkfifo(root / str(ONE) / PASSWORD)
    async with asyncio.timeout(DEADLINE):
        for _ in range(2 * READERS):
            with pytest.raises(NotRegular):
                await store.find(ONE)


async def test_a_disk_that_hangs_for_one_holds_up_nobody_else(
    store: FileAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await store.create(ONE, HASH)
    released, read = threading.Event(), Mailbox.recover_and_read

    def slow(mailbox: Mailbox) -> str | None:
        if mailbox.path.name.startswith("hanging"):
            released.wait(DEADLINE)
        return read(mailbox)

    monkeypatch.setattr(Mailbox, "recover_and_read", slow)
    stuck = [
        asyncio.create_task(store.find(Address(f"hanging{number:02}", DOMAIN)))
        for number in range(READERS - 1)
    ]
    try:
        async with asyncio.timeout(DEADLINE):
            assert await store.find(ONE) == made
        assert not any(task.done() for task in stuck)
    finally:
        released.set()
    assert await asyncio.gather(*stuck) == [None] * len(stuck)


async def test_closing_ends_the_threads(store: FileAccounts) -> None:
    await store.create(ONE, HASH)
    await store.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("accounts-")]
