"""Invitations on disk: good for so many uses, for so long, for nobody who guesses."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from doveauth.invitations import ADMISSION_SECONDS, FILE, Invitations
from relay.mailbox import Owner

NOW = 1795332101
ADDRESS, PASSWORD = "someone12@example.org", "a password of many letters"


@pytest.fixture
def invitations(tmp_path: Path) -> Invitations:
    return Invitations(tmp_path / "state", Owner(os.geteuid(), os.getegid()))


def test_one_is_good_as_often_as_it_says(invitations: Invitations) -> None:
    _, token = invitations.create(2, None, "for friends")
    assert [invitations.redeem(token, f"a{n}@x", "p", NOW) for n in range(3)] == [True, True, False]
    (left,) = invitations.all()
    assert (left.label, left.uses, left.uses_left, left.expires) == ("for friends", 2, 0, None)


def test_of_a_crowd_exactly_so_many_succeed(invitations: Invitations, tmp_path: Path) -> None:
    _, token = invitations.create(7, None, "")
    # The daemon's and the operator's: two that do not know of each other.
    stores = [invitations, Invitations(tmp_path / "state", Owner(os.geteuid(), os.getegid()))]
    with ThreadPoolExecutor(16) as pool:
        asked = [
            pool.submit(stores[n % 2].redeem, token, f"a{n}@example.org", "p", NOW)
            for n in range(100)
        ]
    assert [each.result() for each in asked].count(True) == 7
    assert [invitations.admits(f"a{n}@example.org", "p", NOW) for n in range(100)].count(True) == 7


@pytest.mark.parametrize("wrong", ["", "x", "\udcff", "\0", "x" * 4000])
def test_a_guess_is_worth_nothing(invitations: Invitations, wrong: str) -> None:
    _, token = invitations.create(1, None, "")
    for guess in (wrong, token[:-1], token + "x", token.swapcase()):
        assert not invitations.redeem(guess, ADDRESS, PASSWORD, NOW)
    assert not invitations.admits(ADDRESS, PASSWORD, NOW)
    assert invitations.all()[0].uses_left == 1


def test_an_expired_or_revoked_one_is_worth_nothing(invitations: Invitations) -> None:
    _, expired = invitations.create(1, NOW, "")
    identity, revoked = invitations.create(1, NOW + 1, "")
    assert not invitations.redeem(expired, ADDRESS, PASSWORD, NOW)
    assert invitations.revoke(identity)
    assert not invitations.revoke(identity)
    assert not invitations.redeem(revoked, ADDRESS, PASSWORD, NOW)


def test_an_admission_is_for_one_login_once_and_for_a_day(invitations: Invitations) -> None:
    _, token = invitations.create(2, None, "")
    assert invitations.redeem(token, ADDRESS, PASSWORD, NOW)
    assert invitations.admits(ADDRESS, PASSWORD, NOW)
    assert not invitations.admits(ADDRESS, PASSWORD + "x", NOW)
    assert not invitations.admits("another12@example.org", PASSWORD, NOW)
    assert not invitations.admits(ADDRESS, PASSWORD, NOW + ADMISSION_SECONDS)
    invitations.used(ADDRESS)
    assert not invitations.admits(ADDRESS, PASSWORD, NOW)


def test_neither_token_nor_password_is_in_the_file(
    invitations: Invitations, tmp_path: Path
) -> None:
    _, token = invitations.create(1, None, "")
    invitations.redeem(token, ADDRESS, PASSWORD, NOW)
    content = (tmp_path / "state" / FILE).read_bytes()
    assert token.encode() not in content
    assert PASSWORD.encode() not in content
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o777 == 0o600


def test_admissions_that_nobody_came_for_are_forgotten(
    invitations: Invitations, tmp_path: Path
) -> None:
    _, token = invitations.create(2, None, "")
    invitations.redeem(token, ADDRESS, PASSWORD, NOW)
    invitations.redeem(token, "another12@example.org", PASSWORD, NOW + ADMISSION_SECONDS)
    database = sqlite3.connect(tmp_path / "state" / FILE)
    assert database.execute("SELECT address FROM admissions").fetchall() == [
        ("another12@example.org",)
    ]
    database.close()


def test_a_file_that_is_none_of_ours_is_trouble_and_no_refusal(
    invitations: Invitations, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(OSError, match="cannot be used"):
        invitations.admits(ADDRESS, PASSWORD, NOW)
