"""Blocking, at every step at which it can be killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postern.addresses.blocking import KEPT, NoHash, block, unblock
from relay.mailbox import PASSWORD, BlockedMailbox, Mailbox, Owner

DAY = 1795305600
OWNER = Owner(os.geteuid(), os.getegid())
HASH = "{SHA512-CRYPT}$6$salt$hash"
CHILD = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[2])

def counted(function):
    def call(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*arguments, **named)
    return call

for name in ("mkdir", "open", "utime", "fsync", "link", "unlink", "replace", "chmod", "chown"):
    setattr(os, name, counted(getattr(os, name)))
from postern.addresses.blocking import block, unblock
from relay.mailbox import Mailbox, Owner
mailbox = Mailbox(Path(sys.argv[1]))
block(mailbox, Owner(os.geteuid(), os.getegid()), 0)
unblock(mailbox)
"""


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    made = Mailbox(tmp_path / "someone12@example.org")
    made.create(HASH, OWNER, DAY)
    return made


def test_a_blocked_address_has_no_account_and_gets_none(mailbox: Mailbox) -> None:
    assert block(mailbox, OWNER, 0)
    assert mailbox.is_blocked()
    assert mailbox.password_hash() is None
    with pytest.raises(BlockedMailbox):
        mailbox.create("another", OWNER, DAY)
    assert not block(mailbox, OWNER, 0)


def test_unblocking_brings_back_the_password_and_the_day(mailbox: Mailbox) -> None:
    block(mailbox, OWNER, DAY + 86400)
    assert mailbox.last_login() == DAY
    assert unblock(mailbox)
    assert mailbox.password_hash() == HASH
    assert mailbox.last_login() == DAY
    assert not (mailbox.path / KEPT).exists()
    assert not unblock(mailbox)


def test_an_address_that_nobody_has_can_be_blocked(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "nobody123@example.org")
    assert block(mailbox, OWNER, DAY)
    with pytest.raises(BlockedMailbox):
        mailbox.create(HASH, OWNER, DAY)
    with pytest.raises(NoHash):
        unblock(mailbox)


def test_one_that_was_blocked_by_hand_has_no_password_to_bring_back(mailbox: Mailbox) -> None:
    (mailbox.path / PASSWORD).write_text("")
    with pytest.raises(NoHash):
        unblock(mailbox)
    assert mailbox.is_blocked()


def test_killed_at_any_step_it_is_blocked_or_as_it_was(tmp_path: Path) -> None:
    for step in range(100):
        mailbox = Mailbox(tmp_path / f"someone{step:02}@example.org")
        mailbox.create(HASH, OWNER, DAY)
        command = [sys.executable, "-c", CHILD, str(mailbox.path), str(step)]
        done = subprocess.run(command, check=False)
        assert mailbox.is_blocked() or mailbox.password_hash() == HASH
        unblock(mailbox)
        assert mailbox.password_hash() == HASH
        assert mailbox.last_login() == DAY
        block(mailbox, OWNER, 0)
        assert mailbox.is_blocked()
        if done.returncode == 0:
            assert step > 7
            return
        assert done.returncode == -signal.SIGKILL
    pytest.fail("it never came to its end")
