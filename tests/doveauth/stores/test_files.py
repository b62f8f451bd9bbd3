"""The account store over real directories: who is found, who is made, and who is refused why."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doveauth.hashing import HashingFailed, hash_password
from doveauth.networks import NetworkLimit, Prefixes
from doveauth.policy import Refusal, Resources, Rules
from doveauth.stores import files
from doveauth.stores.files import MAKERS, READERS, Account, FileAccounts, Limits
from relay.mailbox.directory import ENFORCE, PASSWORD, Mailbox, Mailboxes
from relay.owner import Owner
from tests.support import DEADLINE

NOW = 1795332101.75
TODAY = 1795305600
NAME = "someone12@example.org"
GOOD = "password1"
PLENTY = Resources(load=0.5, memory=1 << 40, disk=1 << 40)
RULES = Rules(username_min_length=9, username_max_length=9, password_min_length=9)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "mail"
    root.mkdir()
    return root


@pytest.fixture
async def accounts(root: Path, tmp_path: Path) -> AsyncIterator[FileAccounts]:
    store = FileAccounts(
        Mailboxes(root, "example.org"),
        Owner(os.geteuid(), os.getegid()),
        RULES,
        Limits(
            nocreate_path=tmp_path / "nocreate",
            resources=lambda: PLENTY,
            network=NetworkLimit(300, Prefixes(24, 64)),
        ),
        clock=lambda: NOW,
    )
    yield store
    await store.close()


def verifies(account: Account | None, password: str) -> bool:
    assert account is not None
    salt = account.password_hash.split("$")[2]
    return hash_password(password, salt) == account.password_hash


async def test_the_first_login_makes_the_account(accounts: FileAccounts, root: Path) -> None:
    made = await accounts.login_or_create(NAME, GOOD)
    assert made is not None
    assert (made.address, made.home) == (NAME, root / NAME)
    assert verifies(made, GOOD)
    assert (root / NAME / PASSWORD).read_text() == made.password_hash
    assert (root / NAME / PASSWORD).stat().st_mtime == TODAY
    assert (root / NAME / ENFORCE).exists()
    assert await accounts.find(NAME) == made


async def test_later_logins_get_the_stored_hash_whatever_the_password(
    accounts: FileAccounts,
) -> None:
    made = await accounts.login_or_create(NAME, GOOD)
    for password in (GOOD, "another password", "", "x" * 100_000):
        assert await accounts.login_or_create(NAME, password) == made


async def test_a_name_is_one_whatever_its_case(accounts: FileAccounts) -> None:
    made = await accounts.login_or_create("SomeOne12@Example.ORG", GOOD)
    assert made is not None
    assert made.address == NAME
    assert await accounts.find("SOMEONE12@example.org") == made


async def test_a_look_up_makes_nothing(accounts: FileAccounts, root: Path) -> None:
    assert await accounts.find(NAME) is None
    await accounts.record_login(NAME, TODAY)
    assert list(root.iterdir()) == []


async def test_a_login_is_recorded_by_its_day(accounts: FileAccounts, root: Path) -> None:
    await accounts.login_or_create(NAME, GOOD)
    await accounts.record_login(NAME, TODAY + 86400 * 3 + 12345)
    assert (root / NAME / PASSWORD).stat().st_mtime == TODAY + 86400 * 3
    for foreign in ("someone12@example.com", "../someone12@example.org", "\0"):
        await accounts.record_login(foreign, 0)
    assert (root / NAME / PASSWORD).stat().st_mtime == TODAY + 86400 * 3


HOSTILE = [
    "",
    "@",
    "someone12",
    "someone12@example.com",
    "someone12@example.org.",
    "someone12@sub.example.org",
    "someone12@example.org@example.org",
    "../../etc/@example.org",
    "../example@example.org",
    "someone/1@example.org",
    "someone12\0@example.org",
    "someone12@example.org\0",
    "someone1.@example.org",
    ".someone1@example.org",
    "someone+1@example.org",
    "someone 1@example.org",
    '"someone"@example.org',
    "s\u043emeone12@example.org",
    "someone1\u212a@example.org",
    "someone1\udcff@example.org",
    "someone12\n@example.org",
    "*@example.org",
    "a" * 10_240 + "@example.org",
    "someone12@" + "x" * 10_240,
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_is_not_found_and_leaves_no_trace(
    accounts: FileAccounts, root: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert await accounts.login_or_create(name, GOOD) is None
        assert await accounts.find(name) is None
    assert list(root.iterdir()) == []
    assert list(root.parent.iterdir()) == [root]
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "someone" not in caplog.text


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("short@example.org", GOOD, Refusal.USERNAME_TOO_SHORT),
        ("someone123@example.org", GOOD, Refusal.USERNAME_TOO_LONG),
        (NAME, "short", Refusal.PASSWORD_TOO_SHORT),
        (NAME, "x" * 512, Refusal.PASSWORD_TOO_LONG),
        (NAME, "password\0", Refusal.PASSWORD_WITH_NUL),
        ("someone12@example.com", GOOD, Refusal.FOREIGN_DOMAIN),
        ("someone+1@example.org", GOOD, Refusal.NO_MAILBOX_NAME),
    ],
)
async def test_a_refusal_is_logged_with_reason_and_count_and_without_address(
    accounts: FileAccounts,
    root: Path,
    name: str,
    password: str,
    reason: Refusal,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert await accounts.login_or_create(name, password) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"no account was created: {reason.value} (1 times)",
        f"no account was created: {reason.value} (2 times)",
    ]
    assert list(root.iterdir()) == []


async def test_a_creation_is_logged_without_address(
    accounts: FileAccounts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await accounts.login_or_create(NAME, GOOD)
        await accounts.login_or_create(NAME, GOOD)
        await accounts.login_or_create("another12@example.org", GOOD)
    assert [record.getMessage() for record in caplog.records] == [
        "an account was created (1 since the start)",
        "an account was created (2 since the start)",
    ]


async def test_a_closed_relay_lets_its_users_in_and_makes_none(
    accounts: FileAccounts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = await accounts.login_or_create(NAME, GOOD)
    (tmp_path / "nocreate").touch()
    with caplog.at_level(logging.INFO):
        assert await accounts.login_or_create("another12@example.org", GOOD) is None
    assert Refusal.CLOSED.value in caplog.text
    assert await accounts.login_or_create(NAME, GOOD) == made
    (tmp_path / "nocreate").unlink()
    assert await accounts.login_or_create("another12@example.org", GOOD) is not None


async def test_a_blocked_address_has_no_account_and_gets_none(
    accounts: FileAccounts, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await accounts.login_or_create(NAME, GOOD)
    (root / NAME / PASSWORD).write_text("")
    with caplog.at_level(logging.INFO):
        assert await accounts.login_or_create(NAME, GOOD) is None
    assert await accounts.find(NAME) is None
    assert Refusal.BLOCKED.value in caplog.text
    assert (root / NAME / PASSWORD).read_text() == ""
    assert await accounts.names() == []


async def test_the_mailbox_of_an_existing_relay_is_taken_over(
    accounts: FileAccounts, root: Path
) -> None:
    stored = hash_password("their password", "saltsaltsaltsalt")
    (root / "anyname@example.org").mkdir()
    (root / "anyname@example.org" / PASSWORD).write_text(stored)
    account = await accounts.login_or_create("anyname@example.org", "whatever")
    assert account is not None
    assert account.password_hash == stored
    assert await accounts.names() == ["anyname@example.org"]


async def test_a_half_made_mailbox_is_completed_by_the_next_login(
    accounts: FileAccounts, root: Path
) -> None:
    (root / NAME).mkdir()
    assert await accounts.find(NAME) is None
    assert verifies(await accounts.login_or_create(NAME, GOOD), GOOD)


async def test_of_a_hundred_simultaneous_first_logins_one_password_wins(
    accounts: FileAccounts, root: Path
) -> None:
    passwords = [f"password{number}" for number in range(100)]
    together = [accounts.login_or_create(NAME, password) for password in passwords]
    held = {account.password_hash for account in await asyncio.gather(*together) if account}
    assert held == {(root / NAME / PASSWORD).read_text()}
    account = await accounts.find(NAME)
    assert [verifies(account, password) for password in passwords].count(True) == 1


async def test_a_crowd_of_new_users_holds_up_no_one_who_logs_in(accounts: FileAccounts) -> None:
    await accounts.login_or_create(NAME, GOOD)
    crowd = 20 * MAKERS
    new = [
        asyncio.create_task(accounts.login_or_create(f"crowd{n:04}@example.org", GOOD))
        for n in range(crowd)
    ]
    for _ in range(5 * READERS):
        assert await accounts.login_or_create(NAME, GOOD) is not None
    # All these logins were answered while the last of the crowd still had to be hashed.
    assert not all(task.done() for task in new)
    assert None not in await asyncio.gather(*new)
    assert len(await accounts.names()) == crowd + 1


async def test_a_disk_that_fails_is_an_oserror_and_no_refusal(
    accounts: FileAccounts, root: Path
) -> None:
    root.rmdir()
    root.write_text("no directory any more")
    with pytest.raises(OSError, match="Not a directory"):
        await accounts.login_or_create(NAME, GOOD)
    with pytest.raises(OSError, match="Not a directory"):
        await accounts.names()


async def test_where_all_mailboxes_are_gone_nobody_is_unknown(
    accounts: FileAccounts, root: Path
) -> None:
    """A disk that is not mounted: who is said to be unknown loses mail."""
    await accounts.login_or_create(NAME, GOOD)
    root.rename(root.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError):
        await accounts.find(NAME)
    with pytest.raises(FileNotFoundError):
        await accounts.login_or_create(NAME, GOOD)
    root.with_name("elsewhere").rename(root)
    assert await accounts.find(NAME) is not None


async def test_a_disk_that_hangs_holds_up_nobody_else(
    accounts: FileAccounts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await accounts.login_or_create(NAME, GOOD)
    released, read = threading.Event(), Mailbox.recover_and_read

    def slow(mailbox: Mailbox) -> str | None:
        if mailbox.path.name.startswith("hanging"):
            released.wait(DEADLINE)
        return read(mailbox)

    monkeypatch.setattr(Mailbox, "recover_and_read", slow)
    stuck = [
        asyncio.create_task(accounts.find(f"hanging{number:02}@example.org"))
        for number in range(READERS - 1)
    ]
    try:
        async with asyncio.timeout(DEADLINE):
            assert await accounts.login_or_create(NAME, GOOD) == made
        assert not any(task.done() for task in stuck)
    finally:
        released.set()
    assert await asyncio.gather(*stuck) == [None] * len(stuck)


class Odd(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("error", [HashingFailed("no"), MemoryError(), SystemError(), Odd()])
async def test_a_worker_that_dies_fails_its_caller_and_the_next_is_served(
    accounts: FileAccounts, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def dying(_password: str, _salt: str) -> str:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(files, "hash_password", dying)
        async with asyncio.timeout(DEADLINE):
            for _ in range(2 * MAKERS):
                with pytest.raises(type(error)):
                    await accounts.login_or_create(NAME, GOOD)
    assert verifies(await accounts.login_or_create(NAME, GOOD), GOOD)


async def test_closing_ends_the_threads(accounts: FileAccounts) -> None:
    await accounts.login_or_create(NAME, GOOD)
    await accounts.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("accounts-")]
