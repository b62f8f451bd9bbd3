"""Blocking, at every step at which it can be killed."""

import os
from pathlib import Path

import pytest

from postern.users.blocking import KEPT, NoHash, block, unblock
from relay.mailbox.directory import PASSWORD, BlockedMailbox, Mailbox
from relay.owner import Owner
from tests.killing import steps_killed

DAY = 1795305600
OWNER = Owner(os.geteuid(), os.getegid())
HASH = "{SHA512-CRYPT}$6$salt$hash"
CALLS = "mkdir open utime fsync link unlink replace chmod chown"
BLOCKING = """
from pathlib import Path
from postern.users.blocking import block, unblock
from relay.mailbox.directory import Mailbox, Owner
owner = Owner(os.geteuid(), os.getegid())

def work(step):
    mailbox = Mailbox(Path(sys.argv[3], f"someone{step:02}@example.org"))
    block(mailbox, owner, 0)
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
    assert mailbox.recover_and_read() is None
    with pytest.raises(BlockedMailbox):
        mailbox.create("another", OWNER, DAY)
    assert not block(mailbox, OWNER, 0)


def test_unblocking_brings_back_the_password_and_the_day(mailbox: Mailbox) -> None:
    block(mailbox, OWNER, DAY + 86400)
    assert mailbox.last_login() == DAY
    assert unblock(mailbox)
    assert mailbox.recover_and_read() == HASH
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
    mailboxes = [Mailbox(tmp_path / f"someone{step:02}@example.org") for step in range(50)]
    for mailbox in mailboxes:
        mailbox.create(HASH, OWNER, DAY)
    killed = steps_killed(CALLS, BLOCKING, [str(tmp_path)])
    assert 7 < killed < len(mailboxes)
    states = set()
    for mailbox in mailboxes[: killed + 1]:
        states.add(mailbox.is_blocked())
        assert mailbox.is_blocked() or mailbox.recover_and_read() == HASH
        unblock(mailbox)
        assert mailbox.recover_and_read() == HASH
        assert mailbox.last_login() == DAY
        block(mailbox, OWNER, 0)
        assert mailbox.is_blocked()
    assert states == {True, False}
