"""A message for several recipients reaches each of them at once."""

import pytest

from bench.group.chat import deferred, group
from sandbox.clients import Imap, Smtp
from sandbox.login import fresh_login
from sandbox.relay import Sandbox
from sandbox.threads import in_thread
from tests.e2e.tools import encrypted, register, wait_for_ids
from tests.support import DEADLINE

pytestmark = pytest.mark.e2e
MEMBERS = 20


def test_no_recipient_waits_because_another_was_quick(sandbox: Sandbox) -> None:
    """A core that is alone on its address deletes a message as soon as it has it.

    Dovecot's LMTP makes the copies of one transaction from the first one, and fails where that
    is gone: "451 4.2.0 Message was expunged".
    """
    sender = fresh_login(sandbox.domain)
    members = [fresh_login(sandbox.domain) for _ in range(MEMBERS)]
    # Postfix names recipients in the order of their addresses; the first one's copy is the source.
    quick, *others = sorted(members, key=lambda login: login.address)
    register(sandbox, quick, *others)
    before = deferred(sandbox)
    with Imap(sandbox.ports, quick) as imap, Smtp(sandbox.ports, sender) as smtp:
        for number in range(3):
            imap.start_idle()
            imap.be_quiet(1.5)  # a hibernated session hears first
            deleted = in_thread(_delete_at_once, imap)
            everybody = [login.address for login in (quick, *others)]
            message = encrypted(sender, f"group-{number}")
            assert smtp.transact(sender.address, everybody, message)[0] == 250
            deleted.result(DEADLINE)
    for login in others:
        wait_for_ids(sandbox, login, [f"group-{number}" for number in range(3)])
    assert deferred(sandbox) == before


def _delete_at_once(imap: Imap) -> None:
    imap.wait_for_exists()
    imap.end_idle()
    imap.store("1", "+FLAGS", r"(\Deleted)")
    imap.expunge()


def test_a_group_of_ten_cores(sandbox: Sandbox) -> None:
    before = deferred(sandbox)
    with group(sandbox, members=10) as ten:
        receipts = ten.talk(messages=10, pause=2.0)
    assert len(receipts) == 90
    assert deferred(sandbox) == before
