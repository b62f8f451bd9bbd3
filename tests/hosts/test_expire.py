"""postern-expire under its unit: a run removes what is old, and nothing else."""

import os
import time

from tests.hosts.letters import account, submit_encrypted, wait_for_ids
from tests.hosts.relay import EXPIRE, Relay
from tests.support import poll

DAY = 86400


def test_a_run_deletes_an_old_message_and_leaves_a_young_one(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    submit_encrypted(relay, alice, bob, "old")
    wait_for_ids(relay, bob, ["old"])
    (message,) = (relay.mailbox(bob) / "cur").iterdir()
    then = time.time() - 30 * DAY
    os.utime(message, (then, then))
    submit_encrypted(relay, alice, bob, "young")
    wait_for_ids(relay, bob, ["old", "young"])
    relay.host.systemctl("start", EXPIRE)
    wait_for_ids(relay, bob, ["young"])
    assert relay.host.systemctl("show", "--property=Result", EXPIRE) == "Result=success\n"


def test_an_account_without_logins_goes(relay: Relay) -> None:
    active, idle = account(relay), account(relay)
    there = relay.mailbox(idle)
    then = time.time() // DAY * DAY - 200 * DAY

    def is_gone() -> bool:
        # Dovecot may report the login after the session has ended; then it is no idle account yet.
        os.utime(there / "password", (then, then))
        relay.host.systemctl("start", EXPIRE)
        return not there.exists()

    poll(is_gone, "the end of an idle account")
    assert relay.mailbox(active).exists()


def test_the_timer_waits_for_its_day(relay: Relay) -> None:
    timer = "postern-expire.timer"
    shown = relay.host.systemctl("show", "--property=ActiveState,NextElapseUSecRealtime", timer)
    assert "ActiveState=active" in shown
    assert "NextElapseUSecRealtime=\n" not in shown
