"""Invitations on disk: good for so many uses, for so long, for nobody who guesses."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from doveauth.invitations import ADMISSION_SECONDS, FILE, Invitations, Redemption
from relay.owner import Owner
from tests.support import fill

NOW = 1795332101
ADDRESS, PASSWORD = "someone12@example.org", "a password of many letters"


@pytest.fixture
def invitations(tmp_path: Path) -> Invitations:
    return Invitations(tmp_path / "state", Owner(os.geteuid(), os.getegid()))


def test_one_is_good_as_often_as_it_says(invitations: Invitations) -> None:
    _, token = invitations.create(2, None, "for friends")
    assert [invitations.redeem(token, f"a{n}@x", "p", NOW) for n in range(3)] == [
        Redemption.GRANTED,
        Redemption.GRANTED,
        Redemption.INVALID,
    ]
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
    assert [each.result() for each in asked].count(Redemption.GRANTED) == 7
    assert [invitations.admits(f"a{n}@example.org", "p", NOW) for n in range(100)].count(True) == 7


@pytest.mark.parametrize("wrong", ["", "x", "\udcff", "\0", "x" * 4000])
def test_a_guess_is_worth_nothing(invitations: Invitations, wrong: str) -> None:
    _, token = invitations.create(1, None, "")
    for guess in (wrong, token[:-1], token + "x", token.swapcase()):
        assert invitations.redeem(guess, ADDRESS, PASSWORD, NOW) is Redemption.INVALID
    assert not invitations.admits(ADDRESS, PASSWORD, NOW)
    assert invitations.all()[0].uses_left == 1


def test_half_a_guess_is_worth_nothing_either(invitations: Invitations, tmp_path: Path) -> None:
    _, token = invitations.create(1, None, "")
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE)) as database:
        # Whoever finds the row, as its index tells how fast, still has to know the other half.
        database.execute("UPDATE invitations SET verifier = zeroblob(16)")
        database.commit()
    assert invitations.redeem(token, ADDRESS, PASSWORD, NOW) is Redemption.INVALID
    assert invitations.all()[0].uses_left == 1


def test_no_token_is_like_another(invitations: Invitations) -> None:
    tokens = {invitations.create(1, None, "")[1] for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 32
    assert len({token[:4] for token in tokens}) > 15


@pytest.mark.e2e
def test_a_full_disk_spends_no_use(small_disk: Path) -> None:
    invitations = Invitations(small_disk, Owner(os.geteuid(), os.getegid()))
    _, token = invitations.create(2, None, "")
    ballast = fill(small_disk)
    for attempt in (
        lambda: invitations.create(1, None, "x" * 10_000),
        lambda: invitations.redeem(token, ADDRESS, PASSWORD, NOW),
    ):
        with pytest.raises(OSError, match="cannot be used"):
            attempt()
    assert [each.uses_left for each in invitations.all()] == [2]
    ballast.unlink()
    assert invitations.redeem(token, ADDRESS, PASSWORD, NOW) is Redemption.GRANTED


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from doveauth.invitations import Invitations
from relay.owner import Owner
from tests.support import fill

connect = sqlite3.connect

def traced(*arguments, **named):
    database = connect(*arguments, **named)
    def statement(_text):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    database.set_trace_callback(statement)
    return database

sqlite3.connect = traced
directory, token = Path(sys.argv[1]), sys.argv[2]
invitations = Invitations(directory, Owner(os.geteuid(), os.getegid()))
for step in range(100):
    address = f"someone{step:02}@example.org"
    if not (child := os.fork()):
        left = step
        invitations.redeem(token, address, "a password", 0)
        invitations.used(address)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(address, os.waitstatus_to_exitcode(status), flush=True)
    if status == 0:
        break
"""


def test_killed_at_any_statement_a_use_is_spent_on_a_login_or_not_at_all(
    invitations: Invitations, tmp_path: Path
) -> None:
    _, token = invitations.create(1000, None, "")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "state"), token]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    steps = [line.split() for line in done.stdout.splitlines()]
    assert steps[-1][1] == "0"
    assert {code for _, code in steps[:-1]} == {str(-signal.SIGKILL)}
    assert len(steps) > 10
    admitted = [invitations.admits(address, "a password", 0) for address, _ in steps]
    assert not admitted[0], "killed before anything"
    assert not admitted[-1], "its account was made"
    spent = 1000 - invitations.all()[0].uses_left
    # Those that were killed after their promise was forgotten have spent one too.
    assert admitted.count(True) > 2
    assert spent >= admitted.count(True) + 1
    unspent = admitted.index(True)
    assert not any(admitted[:unspent])
    assert spent == len(steps) - unspent


def test_an_expired_or_revoked_one_is_worth_nothing(invitations: Invitations) -> None:
    _, expired = invitations.create(1, NOW, "")
    identity, revoked = invitations.create(1, NOW + 1, "")
    assert invitations.redeem(expired, ADDRESS, PASSWORD, NOW) is Redemption.INVALID
    assert invitations.revoke(identity)
    assert not invitations.revoke(identity)
    assert invitations.redeem(revoked, ADDRESS, PASSWORD, NOW) is Redemption.INVALID


def test_an_admission_is_for_one_login_once_and_for_a_day(invitations: Invitations) -> None:
    _, token = invitations.create(2, None, "")
    assert invitations.redeem(token, ADDRESS, PASSWORD, NOW) is Redemption.GRANTED
    assert invitations.admits(ADDRESS, PASSWORD, NOW)
    assert not invitations.admits(ADDRESS, PASSWORD + "x", NOW)
    assert not invitations.admits("another12@example.org", PASSWORD, NOW)
    assert not invitations.admits(ADDRESS, PASSWORD, NOW + ADMISSION_SECONDS)
    invitations.used(ADDRESS)
    assert not invitations.admits(ADDRESS, PASSWORD, NOW)


def test_a_promise_is_never_overwritten(invitations: Invitations) -> None:
    _, token = invitations.create(3, None, "")
    assert invitations.redeem(token, ADDRESS, PASSWORD, NOW) is Redemption.GRANTED
    assert invitations.redeem(token, ADDRESS, "another", NOW) is Redemption.PROMISED
    assert invitations.admits(ADDRESS, PASSWORD, NOW)
    assert invitations.all()[0].uses_left == 2
    # Nobody came for it in a day.
    later = NOW + ADMISSION_SECONDS
    assert invitations.redeem(token, ADDRESS, "another", later) is Redemption.GRANTED
    assert invitations.admits(ADDRESS, "another", later)


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
