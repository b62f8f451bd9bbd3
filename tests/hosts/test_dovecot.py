"""Stock Dovecot as our snippets configure it: two series that differ in names and defaults."""

import re

from sandbox.letters import encrypted
from sandbox.login import Login
from tests.hosts.letters import account, submit
from tests.hosts.relay import MAIL, Relay
from tests.support import poll

NO_SUCH_USER = 67
"""doveadm's exit status (EX_NOUSER of sysexits.h)."""


def test_a_mailbox_of_one_series_is_found_by_the_other(relay: Relay) -> None:
    """Where messages are must not depend on the series: a relay goes from Debian 12 to 13."""
    login = account(relay)
    found = relay.host.run("doveadm", "mailbox", "path", "-u", login.address, "INBOX")
    assert found == f"{MAIL}/{login.address}\n"


def test_the_users_are_listed_and_looked_up(relay: Relay) -> None:
    login, nobody = account(relay), relay.login()
    assert login.address in relay.host.run("doveadm", "user", "*").split()
    home = relay.host.run("doveadm", "user", "-f", "home", login.address)
    assert home == f"{MAIL}/{login.address}\n"
    status = relay.host.run("sh", "-c", f"doveadm user {nobody.address} >/dev/null 2>&1; echo $?")
    assert int(status) == NO_SUCH_USER


def test_an_idle_client_hibernates_and_hears_of_a_message(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    with relay.imap(bob) as imap:
        imap.start_idle()
        poll(lambda: _server_of(relay, bob) == "imap-hibernate\n", "hibernation")
        assert submit(relay, alice, bob, encrypted(alice.address, "wakes"))[0] == 250
        imap.wait_for_exists()
        imap.end_idle()


def test_an_idle_client_stays_through_a_reload(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    with relay.imap(bob) as imap:
        imap.start_idle()
        poll(lambda: _server_of(relay, bob) == "imap-hibernate\n", "hibernation")
        relay.host.systemctl("reload", "dovecot")
        assert submit(relay, alice, bob, encrypted(alice.address, "later"))[0] == 250
        imap.wait_for_exists()
        imap.end_idle()


def _server_of(relay: Relay, login: Login) -> str:
    """The name of the process that holds a client's one session; 2.3 says "imap" of all."""
    (pid,) = re.findall(r" \((\d+)\) ", relay.host.run("doveadm", "who", login.address))
    return relay.host.run("cat", f"/proc/{pid}/comm", check=False)
