"""A run that would delete too much does not begin."""

import os
from pathlib import Path

import pytest

from postern.expiry import survey as surveying
from postern.expiry.rules import DAY
from postern.expiry.survey import Survey, survey
from tests.postern.expiry.relays import DOMAIN, NOW, account, message, rules


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "mail"
    path.mkdir()
    return path


def problem(root: Path, now: int = NOW) -> str | None:
    return survey(root, DOMAIN, rules(now=now)).problem(rules(now=now))


def test_an_empty_relay_is_no_problem(root: Path) -> None:
    assert problem(root) is None


@pytest.mark.parametrize(("idle", "told"), [(2, False), (3, True), (4, True)])
def test_at_most_half_of_the_accounts_go(root: Path, idle: int, told: bool) -> None:
    for number in range(4):
        account(root, f"someone{number:02}", idle_days=100 if number < idle else 1)
    account(root, "blocked12", password="", idle_days=1)
    (root / f"halfmade1@{DOMAIN}").mkdir()
    said = problem(root)
    assert (said is not None) is told
    assert said is None or f"{idle} of 4 accounts" in said
    assert said is None or "timedatectl" in said


def test_one_login_after_a_leap_of_the_clock_does_not_let_all_others_go(root: Path) -> None:
    leapt = NOW + 120 * DAY
    for number in range(4):
        path = account(root, f"someone{number:02}")
        if number == 0:
            os.utime(path / "password", (leapt, leapt))
    assert "3 of 4 accounts" in (problem(root, leapt) or "")


def test_messages_that_a_leap_of_the_clock_made_old_stay(root: Path) -> None:
    mailbox = account(root, "someone12")
    for days in range(20):
        message(mailbox, days)
    assert problem(root) is None
    said = problem(root, NOW + 15 * DAY)
    assert said is not None
    assert "the newest one came 15 days ago" in said


def test_messages_that_are_old_by_any_clock_may_go(root: Path) -> None:
    """The first run on a relay that never expired anything."""
    mailbox = account(root, "someone12")
    for days in range(50, 100):
        message(mailbox, days)
    message(mailbox, 0)
    assert problem(root) is None


def test_more_mailboxes_than_the_sample_are_counted_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "SAMPLE", 2)
    for number in range(4):
        message(account(root, f"someone{number:02}"), 1)
    found = survey(root, DOMAIN, rules())
    assert (found.accounts, found.messages) == (4, 2)


def test_the_messages_looked_at_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "SAMPLE_MESSAGES", 3)
    mailbox = account(root, "someone12")
    for _ in range(10):
        message(mailbox, 1)
    assert survey(root, DOMAIN, rules()) == Survey(1, 0, 3, 0, NOW - DAY)
