"""`postern expire --remove` beside a real Dovecot: logins, deliveries and clients go on."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.mailbox import removal
from relay.mailbox.directory import DAY, PASSWORD, day_of
from sandbox.clients import Imap, Smtp
from sandbox.login import Login, fresh_login
from sandbox.relay import Sandbox
from tests.e2e.tools import encrypted, message_ids, register, send, wait_for_ids
from tests.support import DEADLINE, poll

pytestmark = pytest.mark.e2e


@contextlib.contextmanager
def expiring(sandbox: Sandbox) -> Iterator["subprocess.Popen[str]"]:
    """A run that removes, under way."""
    command = [sys.executable, "-m", "postern", "expire", "--remove", "--json"]
    # Most of these few accounts are idle.
    command += ["--force", "--config", str(sandbox.layout.config)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        yield process
        told, said = process.communicate(timeout=DEADLINE)
        assert (process.returncode, said) == (0, "")
        assert json.loads(told)["skipped"] == 0


def expire(sandbox: Sandbox) -> None:
    with expiring(sandbox):
        pass


def mailbox(sandbox: Sandbox, login: Login) -> Path:
    return sandbox.layout.mail / login.address


def make_idle(sandbox: Sandbox, login: Login, days: int = 100) -> None:
    long_ago = day_of(int(time.time())) - days * DAY
    os.utime(mailbox(sandbox, login) / PASSWORD, (long_ago, long_ago))


@pytest.mark.parametrize("kind", [Imap, Smtp])
def test_who_logs_in_during_the_run_keeps_everything(
    sandbox: Sandbox, login: Login, kind: type[Imap] | type[Smtp]
) -> None:
    sender, gone = fresh_login(sandbox.domain), fresh_login(sandbox.domain)
    register(sandbox, login, gone, sender)
    send(sandbox, sender, [login.address], encrypted(sender, "precious"))
    wait_for_ids(sandbox, login, ["precious"])
    for each in (login, gone):
        make_idle(sandbox, each)
    place = mailbox(sandbox, login)
    with expiring(sandbox):
        poll(lambda: removal.aside_of(place).exists(), "the mailbox put aside")
        with kind(sandbox.ports, login, seconds=DEADLINE):
            pass
        assert place.exists()
    assert message_ids(sandbox, login) == ["precious"]
    assert not mailbox(sandbox, gone).exists()
    assert not removal.aside_of(mailbox(sandbox, gone)).exists()
    # That login was noted, so that the next run does not put it aside again.
    expire(sandbox)
    assert (place / PASSWORD).stat().st_mtime == day_of(int(time.time()))


def test_a_delivery_during_the_run_finds_the_mailbox(sandbox: Sandbox, login: Login) -> None:
    sender = fresh_login(sandbox.domain)
    register(sandbox, login, sender)
    make_idle(sandbox, login)
    place = mailbox(sandbox, login)
    with expiring(sandbox):
        poll(lambda: removal.aside_of(place).exists(), "the mailbox put aside")
        send(sandbox, sender, [login.address], encrypted(sender, "in-between"))
        poll(place.exists, "the mailbox brought back")
    wait_for_ids(sandbox, login, ["in-between"])


def test_clients_and_deliveries_go_on_while_old_messages_go(sandbox: Sandbox, login: Login) -> None:
    sender = fresh_login(sandbox.domain)
    register(sandbox, login, sender)
    log = sandbox.layout.logs / "dovecot.log"
    before = log.stat().st_size
    with Imap(sandbox.ports, login) as imap:
        for number in range(6):
            # Half of them have come long ago.
            send(sandbox, sender, [login.address], encrypted(sender, f"old-{number}"))
        imap.wait_for_messages(6)
        messages = sorted((mailbox(sandbox, login) / "cur").iterdir())
        assert len(messages) == 6
        for path in messages[:3]:
            os.utime(path, (time.time() - 30 * DAY,) * 2)
        with expiring(sandbox):
            send(sandbox, sender, [login.address], encrypted(sender, "meanwhile"))
        # The session that was open all the time hears of both.
        poll(lambda: imap.wait_for_messages(0) == 4, "three messages gone and one come")
    ids = message_ids(sandbox, login)
    assert len(ids) == 4
    assert "meanwhile" in ids
    with log.open() as lines:
        lines.seek(before)
        said = [line for line in lines if "Error" in line or "Panic" in line or "orrupt" in line]
    assert said == []
