"""Creation under abuse: limits that pass, invitations, crowds for one address."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from doveauth.admissions import Admissions, NoAdmissions
from doveauth.figures import Figures
from doveauth.networks import NetworkLimit, Prefixes
from doveauth.policy import Refusal, Resources, Rules
from doveauth.stores.files import FileAccounts, Limits, NotNow
from relay.mailbox.directory import PASSWORD, Mailboxes
from relay.owner import Owner

NAME = "someone12@example.org"
GOOD = "password1"
RULES = Rules(
    username_min_length=9,
    username_max_length=9,
    password_min_length=9,
    max_load_1m=5,
    min_available_memory=100,
    min_free_disk_space=100,
)
PLENTY = Resources(load=0.5, memory=1000, disk=1000)


@asynccontextmanager
async def store(
    root: Path,
    *,
    rules: Rules = RULES,
    resources: Callable[[], Resources] = lambda: PLENTY,
    per_hour: int = 300,
    admissions: Admissions | None = None,
    clock: Callable[[], float] = lambda: 1795332101.75,
    monotonic: Callable[[], float] = lambda: 0.0,
    figures: Figures | None = None,
) -> AsyncIterator[FileAccounts]:
    (root / "mail").mkdir(exist_ok=True)
    accounts = FileAccounts(
        Mailboxes(root / "mail", "example.org"),
        Owner(os.geteuid(), os.getegid()),
        rules,
        Limits(
            nocreate_path=root / "nocreate",
            resources=resources,
            network=NetworkLimit(per_hour, Prefixes(24, 64)),
            admissions=admissions or NoAdmissions(),
        ),
        clock=clock,
        monotonic=monotonic,
        figures=figures,
    )
    yield accounts
    await accounts.close()


@pytest.mark.parametrize(
    ("short", "reason"),
    [
        (replace(PLENTY, load=6), Refusal.LOAD),
        (replace(PLENTY, memory=99), Refusal.MEMORY),
        (replace(PLENTY, disk=99), Refusal.DISK),
    ],
)
async def test_a_machine_in_need_makes_none_for_now_and_lets_its_users_in(
    tmp_path: Path, short: Resources, reason: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    machine = [PLENTY]
    figures = Figures()
    async with store(tmp_path, resources=lambda: machine[0], figures=figures) as accounts:
        made = await accounts.login_or_create(NAME, GOOD)
        machine[0] = short
        with caplog.at_level(logging.INFO), pytest.raises(NotNow) as raised:
            await accounts.login_or_create("another12@example.org", GOOD)
        assert raised.value.refusal is reason
        assert f"{reason.value} (1 times)" in caplog.text
        assert "another12" not in caplog.text
        assert await accounts.login_or_create(NAME, GOOD) == made
        machine[0] = PLENTY
        assert await accounts.login_or_create("another12@example.org", GOOD) is not None
    counted = figures.registry.get_sample_value
    assert counted("doveauth_refusals_total", {"reason": reason.name.lower()}) == 1
    assert counted("doveauth_accounts_created_total") == 2


async def test_resources_that_cannot_be_read_are_no_refusal(tmp_path: Path) -> None:
    def unreadable() -> Resources:
        raise OSError(5, "Input/output error")

    async with store(tmp_path, resources=unreadable) as accounts:
        with pytest.raises(OSError, match="Input/output error"):
            await accounts.login_or_create(NAME, GOOD)
    assert list((tmp_path / "mail").iterdir()) == []


async def test_a_network_has_its_allowance_an_hour_whatever_the_wall_clock_does(
    tmp_path: Path,
) -> None:
    wall, elapsed = [1795332101.0], [0.0]
    names = iter(f"network{number:02}@example.org" for number in range(100))
    async with store(
        tmp_path, per_hour=2, clock=lambda: wall[0], monotonic=lambda: elapsed[0]
    ) as accounts:

        async def make(remote: str | None) -> bool:
            try:
                return await accounts.login_or_create(next(names), GOOD, remote) is not None
            except NotNow as limit:
                return limit.refusal is not Refusal.NETWORK

        assert [await make("192.0.2.1"), await make("192.0.2.2")] == [True, True]
        wall[0] += 10 * 86400
        assert not await make("192.0.2.3")
        wall[0] -= 20 * 86400
        assert not await make("192.0.2.3")
        assert await make("192.0.9.1")
        assert all([await make("127.0.0.1") for _ in range(5)])
        elapsed[0] += 3600
        assert await make("192.0.2.3")
        # Who has an account is not counted.
        assert await accounts.login_or_create("network00@example.org", GOOD, "192.0.2.3")


async def test_a_clock_of_long_ago_still_makes_accounts(tmp_path: Path) -> None:
    async with store(tmp_path, clock=lambda: 0.0) as accounts:
        assert await accounts.login_or_create(NAME, GOOD) is not None
        await accounts.record_login(NAME, 1795332101)
        # A day that is known is not lost to a clock that has not been set.
        await accounts.record_login(NAME, 5)
        assert (tmp_path / "mail" / NAME / PASSWORD).stat().st_mtime == 1795305600


async def test_a_crowd_for_one_address_is_one_creation(tmp_path: Path) -> None:
    figures = Figures()
    async with store(tmp_path, per_hour=1, figures=figures) as accounts:
        crowd = [accounts.login_or_create(NAME, GOOD, "192.0.2.1") for _ in range(100)]
        held = {account.password_hash for account in await asyncio.gather(*crowd) if account}
    assert held == {(tmp_path / "mail" / NAME / PASSWORD).read_text()}
    assert figures.registry.get_sample_value("doveauth_accounts_created_total") == 1


async def test_who_leaves_while_the_account_is_made_leaves_alone(tmp_path: Path) -> None:
    async with store(tmp_path) as accounts:
        first = asyncio.ensure_future(accounts.login_or_create(NAME, GOOD))
        second = asyncio.ensure_future(accounts.login_or_create(NAME, GOOD))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is not None


class Promises:
    """Admissions in memory."""

    def __init__(self, **logins: str) -> None:
        self.logins = {f"{local}@example.org": password for local, password in logins.items()}

    async def admits(self, address: str, password: str) -> bool:
        return self.logins.get(address) == password

    async def used(self, address: str) -> None:
        del self.logins[address]


async def test_by_invitation_only_who_was_promised_an_account_gets_it(tmp_path: Path) -> None:
    promises = Promises(someone12=GOOD)
    rules = replace(RULES, registration="invite")
    async with store(tmp_path, rules=rules, admissions=promises) as accounts:
        assert await accounts.login_or_create("another12@example.org", GOOD) is None
        assert await accounts.login_or_create(NAME, GOOD + "x") is None
        together = [accounts.login_or_create(NAME, p) for p in (GOOD + "x", GOOD, GOOD)]
        _wrong, *right = await asyncio.gather(*together)
        assert None not in right
        assert promises.logins == {}
        assert await accounts.login_or_create(NAME, "whatever") is not None
