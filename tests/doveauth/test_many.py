"""A relay with a hundred thousand accounts: listed, looked up, reported on, expired."""

import asyncio
import json
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relay.mailbox.directory import DAY
from tests.doveauth.relays import Relay

pytestmark = pytest.mark.slow
DOMAIN = "example.org"
ACCOUNTS = 100_000
IDLE_EVERY = 1000
"""One account in so many has not logged in for very long."""


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    (root / "chatmail.ini").write_text(
        f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {root}/mail\n"
        f"mailboxes_user = {pwd.getpwuid(os.geteuid()).pw_name}\nnocreate_path = {root}/none\n"
    )
    (root / "mail").mkdir()
    day = int(time.time()) // DAY * DAY
    for number in range(ACCOUNTS):
        path = f"{root}/mail/{name(number)}"
        Path(path).mkdir()
        descriptor = os.open(f"{path}/password", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"{SHA512-CRYPT}$6$x$y")
        login = day if number % IDLE_EVERY else day - 400 * DAY
        os.utime(descriptor, (login, login))
        os.close(descriptor)
    return root


def name(number: int) -> str:
    return f"u{number:08d}@{DOMAIN}"


def postern(relay: Path, *words: str) -> str:
    command = [sys.executable, "-m", "postern", *words, "--config", str(relay / "chatmail.ini")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_all_are_listed_while_others_log_in(relay: Path, socket_dir: Path) -> None:
    doveauth = Relay(socket_dir, f"mailboxes_dir = {relay}/mail\n")
    async with doveauth.running():
        listing = asyncio.create_task(doveauth.users())
        for number in range(0, ACCOUNTS, ACCOUNTS // 100):
            assert (await doveauth.login(name(number))).fields["addr"] == name(number)
        assert len(set((await listing).text.splitlines())) == ACCOUNTS


def test_the_operators_commands_know_all(relay: Path) -> None:
    assert len(postern(relay, "users", "list", "--json").splitlines()) == ACCOUNTS
    told = json.loads(postern(relay, "expire", "--json"))
    assert (told["mailboxes"], told["mailboxes_removed"]) == (ACCOUNTS, ACCOUNTS // IDLE_EVERY)
    told = json.loads(postern(relay, "report", "--json"))
    assert told["accounts"] == ACCOUNTS
    assert told["accounts_by"]["login_days"][-1]["accounts"] == ACCOUNTS // IDLE_EVERY
