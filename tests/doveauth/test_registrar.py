"""Who may have an account: once, counted, refused for a reason, and never refused for trouble."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from doveauth import registrar as module
from doveauth.hashing import HashingFailed, hash_password
from doveauth.invitations import InvitationsUnusable
from doveauth.policy import Refusal, Resources
from doveauth.registrar import HASHERS, NotNow, Registrar
from doveauth.resources import read_resources
from doveauth.stores.protocol import Account
from relay.address import Address
from tests.doveauth.registrars import PLENTY, RULES, Promises, registrar, terms
from tests.doveauth.stores.memory import MemoryAccounts
from tests.support import DEADLINE

NAME = "someone12@example.org"
OTHER = "another12@example.org"
GOOD = "password1"


def verifies(account: Account | None, password: str) -> bool:
    assert account is not None
    salt = account.password_hash.split("$")[2]
    return hash_password(password, salt) == account.password_hash


def sample(of: Registrar, name: str, **labels: str) -> float | None:
    return of.figures.registry.get_sample_value(name, labels)


async def test_the_first_login_makes_the_account_and_later_ones_get_its_hash() -> None:
    async with registrar() as accounts:
        assert await accounts.find(NAME) is None
        made = await accounts.login(NAME, GOOD)
        assert verifies(made, GOOD)
        assert await accounts.find(NAME) == made
        for password in (GOOD, "another password", "", "x" * 100_000):
            assert await accounts.login(NAME, password) == made


async def test_a_name_is_one_whatever_its_case() -> None:
    async with registrar() as accounts:
        made = await accounts.login("SomeOne12@Example.ORG", GOOD)
        assert made is not None
        assert made.address == NAME
        assert await accounts.find("SOMEONE12@example.org") == made


async def test_a_look_up_and_a_note_of_a_login_make_nothing() -> None:
    store = MemoryAccounts()
    async with registrar(store=store) as accounts:
        assert await accounts.find(NAME) is None
        for name in (NAME, "someone12@example.com", "../x@example.org", "\0"):
            await accounts.record_login(name, 1795332101)
        assert not store.accounts
        assert not store.days
        await accounts.login(NAME, GOOD)
        await accounts.record_login(NAME.upper(), 1795332101)
        assert list(store.days.values()) == [1795305600]


HOSTILE = [
    "",
    "@",
    "someone12",
    "someone12@example.com",
    "someone12@example.org.",
    "someone12@sub.example.org",
    "someone12@example.org@example.org",
    "../../etc/@example.org",
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
async def test_a_hostile_name_is_not_found_and_reaches_no_store(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryAccounts()
    store.trouble = OSError(5, "it was asked")
    async with registrar(store=store) as accounts:
        with caplog.at_level(logging.INFO):
            assert await accounts.login(name, GOOD) is None
            assert await accounts.find(name) is None
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
    name: str, password: str, reason: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    async with registrar() as accounts:
        with caplog.at_level(logging.INFO):
            for _ in range(2):
                assert await accounts.login(name, password) is None
        assert [record.getMessage() for record in caplog.records] == [
            f"no account was created: {reason.value} (1 times)",
            f"no account was created: {reason.value} (2 times)",
        ]
        assert await accounts.names() == []
        assert sample(accounts, "doveauth_refusals_total", reason=reason.name.lower()) == 2


async def test_a_creation_is_counted_and_logged_without_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with registrar() as accounts:
        with caplog.at_level(logging.INFO):
            for name in (NAME, NAME, OTHER):
                await accounts.login(name, GOOD)
        assert [record.getMessage() for record in caplog.records] == [
            "an account was created (1 since the start)",
            "an account was created (2 since the start)",
        ]
        assert sample(accounts, "doveauth_accounts_created_total") == 2


@pytest.mark.parametrize("how", ["registration", "file"])
async def test_a_closed_relay_lets_its_users_in_and_makes_none(tmp_path: Path, how: str) -> None:
    store = MemoryAccounts()
    async with registrar(store=store) as accounts:
        made = await accounts.login(NAME, GOOD)
    closed = terms(nocreate_path=tmp_path / "nocreate")
    if how == "registration":
        closed = terms(rules=replace(RULES, registration="closed"))
    else:
        (tmp_path / "nocreate").touch()
    async with registrar(closed, store) as accounts:
        assert await accounts.login(NAME, GOOD) == made
        assert await accounts.login(OTHER, GOOD) is None
        assert sample(accounts, "doveauth_refusals_total", reason="closed") == 1


async def test_a_blocked_address_has_no_account_and_gets_none() -> None:
    store = MemoryAccounts()
    async with registrar(store=store) as accounts:
        await accounts.login(NAME, GOOD)
        store.blocked.add(Address.parse(NAME))
        assert await accounts.login(NAME, GOOD) is None
        assert await accounts.find(NAME) is None
        assert sample(accounts, "doveauth_refusals_total", reason="blocked") == 1


async def test_of_a_hundred_simultaneous_first_logins_one_password_wins_and_one_is_counted() -> (
    None
):
    passwords = [f"password{number}" for number in range(100)]
    async with registrar(terms(per_hour=1)) as accounts:
        together = [accounts.login(NAME, password, "192.0.2.1") for password in passwords]
        held = set(await asyncio.gather(*together))
        (account,) = held
        assert [verifies(account, password) for password in passwords].count(True) == 1
        assert sample(accounts, "doveauth_accounts_created_total") == 1


async def test_a_caller_that_gives_up_does_not_cancel_the_others() -> None:
    async with registrar() as accounts:
        first = asyncio.ensure_future(accounts.login(NAME, GOOD))
        second = asyncio.ensure_future(accounts.login(NAME, GOOD))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is not None


class Slow(MemoryAccounts):
    """A store whose creations take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.creating = asyncio.Event()

    async def create(self, address: Address, password_hash: str) -> Account:
        self.creating.set()
        await asyncio.sleep(0.05)
        return await super().create(address, password_hash)


async def test_closing_finishes_what_is_under_way() -> None:
    store = Slow()
    async with registrar(store=store) as accounts:
        leaving = asyncio.ensure_future(accounts.login(NAME, GOOD))
        await store.creating.wait()
        leaving.cancel()
    assert list(store.accounts) == [Address.parse(NAME)]


async def test_a_crowd_of_new_users_holds_up_no_one_who_logs_in() -> None:
    async with registrar() as accounts:
        await accounts.login(NAME, GOOD)
        names = [f"crowd{number:04}@example.org" for number in range(40 * HASHERS)]
        new = [asyncio.create_task(accounts.login(name, GOOD)) for name in names]
        for _ in range(40):
            assert await accounts.login(NAME, GOOD) is not None
        # All these logins were answered while the last of the crowd still had to be hashed.
        assert not all(task.done() for task in new)
        assert None not in await asyncio.gather(*new)


class Odd(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("error", [HashingFailed("no"), MemoryError(), SystemError(), Odd()])
async def test_a_worker_that_dies_fails_its_caller_and_the_next_is_served(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def dying(_password: str, _salt: str) -> str:
        raise error

    expected = NotNow if isinstance(error, HashingFailed) else type(error)
    async with registrar(terms(per_hour=1)) as accounts:
        with monkeypatch.context() as patched:
            patched.setattr(module, "hash_password", dying)
            async with asyncio.timeout(DEADLINE):
                for _ in range(2 * HASHERS):
                    with pytest.raises(expected):
                        await accounts.login(NAME, GOOD, "192.0.2.1")
        assert verifies(await accounts.login(NAME, GOOD, "192.0.2.1"), GOOD)


@pytest.mark.parametrize(
    ("short", "reason"),
    [
        (replace(PLENTY, load=6), Refusal.LOAD),
        (replace(PLENTY, memory=99), Refusal.MEMORY),
        (replace(PLENTY, disk=99), Refusal.DISK),
    ],
)
async def test_a_machine_in_need_makes_none_for_now_and_lets_its_users_in(
    short: Resources, reason: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    machine = [PLENTY]
    async with registrar(terms(resources=lambda: machine[0])) as accounts:
        made = await accounts.login(NAME, GOOD)
        machine[0] = short
        with caplog.at_level(logging.INFO), pytest.raises(NotNow, match=reason.value):
            await accounts.login(OTHER, GOOD)
        assert f"{reason.value} (1 times)" in caplog.text
        assert "another12" not in caplog.text
        assert await accounts.login(NAME, GOOD) == made
        machine[0] = PLENTY
        assert await accounts.login(OTHER, GOOD) is not None
        assert sample(accounts, "doveauth_refusals_total", reason=reason.name.lower()) == 1
        assert sample(accounts, "doveauth_lookups_total", kind="passdb", result="failed") == 1


async def test_resources_that_cannot_be_read_are_named_and_are_no_refusal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # As under ProcSubset=pid.
    meminfo = tmp_path / "meminfo"
    of = terms(resources=lambda: read_resources(tmp_path, meminfo))
    async with registrar(of) as accounts:
        with pytest.raises(NotNow):
            await accounts.login(NAME, GOOD)
        assert await accounts.names() == []
    assert f"{meminfo} cannot be read: No such file or directory" in caplog.text
    assert "mailboxes" not in caplog.text


async def test_trouble_of_the_store_is_not_now_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryAccounts()
    async with registrar(store=store) as accounts:
        made = await accounts.login(NAME, GOOD)
        for _ in range(2):
            store.trouble = OSError(5, "Input/output error", "/mail/someone12@example.org")
            for _ in range(3):
                for question in (
                    accounts.login(NAME, GOOD),
                    accounts.login(OTHER, GOOD),
                    accounts.find(NAME),
                    accounts.record_login(NAME, 0),
                    accounts.names(),
                ):
                    with pytest.raises(NotNow, match="cannot be read or written now"):
                        await question
            store.trouble = None
            assert await accounts.find(NAME) == made
    trouble = "the mailboxes cannot be read or written: Input/output error"
    assert [record.getMessage() for record in caplog.records] == [trouble] * 2


async def test_an_allowance_is_for_accounts_that_were_made() -> None:
    store = MemoryAccounts()
    async with registrar(terms(per_hour=1), store) as accounts:
        store.trouble_of_creations = OSError(28, "No space left on device")
        for _ in range(5):
            with pytest.raises(NotNow):
                await accounts.login(NAME, GOOD, "192.0.2.1")
        store.trouble_of_creations = None
        assert await accounts.login(NAME, GOOD, "192.0.2.1") is not None
        with pytest.raises(NotNow, match="max_creations_per_hour_per_network"):
            await accounts.login(OTHER, GOOD, "192.0.2.2")


async def test_a_network_has_its_allowance_an_hour() -> None:
    elapsed = [0.0]
    names = iter(f"network{number:02}@example.org" for number in range(100))
    async with registrar(terms(per_hour=2, monotonic=lambda: elapsed[0])) as accounts:

        async def make(remote: str | None) -> bool:
            try:
                return await accounts.login(next(names), GOOD, remote) is not None
            except NotNow:
                return False

        assert [await make("192.0.2.1"), await make("192.0.2.2")] == [True, True]
        assert not await make("192.0.2.3")
        assert await make("192.0.9.1")
        assert all([await make("127.0.0.1") for _ in range(5)])
        elapsed[0] += 3600
        assert await make("192.0.2.3")
        # A client that has an account is not counted.
        assert await accounts.login("network00@example.org", GOOD, "192.0.2.3")


async def test_by_invitation_only_guests_get_an_account() -> None:
    promises = Promises(someone12=GOOD)
    of = terms(rules=replace(RULES, registration="invite"), promises=promises)
    async with registrar(of) as accounts:
        assert await accounts.login(OTHER, GOOD) is None
        assert await accounts.login(NAME, GOOD + "x") is None
        together = [accounts.login(NAME, p) for p in (GOOD + "x", GOOD, GOOD)]
        _wrong, *right = await asyncio.gather(*together)
        assert None not in right
        assert promises.logins == {}
        assert await accounts.login(NAME, "whatever") is not None


async def test_invitations_in_trouble_are_named_as_such(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Promises):
        async def admits(self, address: str, password: str) -> bool:
            raise InvitationsUnusable(OSError("it is no database"))

    of = terms(rules=replace(RULES, registration="invite"), promises=Broken())
    async with registrar(of) as accounts:
        with pytest.raises(NotNow):
            await accounts.login(NAME, GOOD)
    assert caplog.messages == ["the invitations cannot be used: it is no database"]
