"""A disk with the mailboxes: waited for; without it everybody hears "not now", nothing is made."""

import imaplib
from collections.abc import Iterator

import pytest

from sandbox.login import Login
from tests.hosts.letters import account
from tests.hosts.relay import DOMAIN, MAIL, SERVICES, Relay
from tests.support import poll

ASIDE = f"{MAIL}.aside"
ROOT = "/home/vmail/mail"
DISK = "/srv/mailboxes"
UNIT = "home-vmail-mail.mount"
"""What systemd makes of a line in fstab for `ROOT`."""


@pytest.fixture
def known(relay: Relay) -> Iterator[Login]:
    """An account whose mailbox, and all others, are away; they are back after the test."""
    login = account(relay)
    relay.host.systemctl("stop", "doveauth.service")
    relay.host.run("mv", MAIL, ASIDE)
    relay.host.systemctl("start", "doveauth.service")
    yield login
    relay.host.shell(f"if [ -d {ASIDE} ]; then rm -rf {MAIL}; mv {ASIDE} {MAIL}; fi")
    relay.forget_complaints()


def test_no_account_is_made_and_nobody_is_unknown(relay: Relay, known: Login) -> None:
    for login in (known, relay.login()):
        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
            relay.imap(login)
    assert relay.host.run("ls", "/home/vmail/mail") == f"{ASIDE.rpartition('/')[2]}\n"
    relay.host.run("mv", ASIDE, MAIL)

    def is_let_in() -> bool:
        try:
            with relay.imap(known):
                return True
        except imaplib.IMAP4.error:
            return False

    poll(is_let_in, "a login once the disk is back")


@pytest.fixture
def disk(relay: Relay) -> Iterator[None]:
    """All mailboxes are on a disk that is not mounted, and the services are down."""
    relay.host.systemctl("stop", *SERVICES)
    relay.host.shell(f"mv {ROOT} {DISK}; mkdir {ROOT}")
    mount = f"[Mount]\nWhat={DISK}\nWhere={ROOT}\nType=none\nOptions=bind\n"
    relay.host.write(f"/etc/systemd/system/{UNIT}", mount)
    relay.host.systemctl("daemon-reload")
    yield
    # Its IMAP processes stay in a mailbox for a while.
    relay.host.systemctl("stop", "dovecot.service", *SERVICES)
    relay.host.systemctl("stop", UNIT)
    relay.host.shell(f"rm /etc/systemd/system/{UNIT}; rmdir {ROOT}; mv {DISK} {ROOT}")
    relay.host.systemctl("daemon-reload")
    relay.host.systemctl("start", *SERVICES, "dovecot.service")


@pytest.mark.usefixtures("disk")
def test_the_disk_is_mounted_before_a_service_starts(relay: Relay) -> None:
    relay.host.systemctl("start", *SERVICES)
    assert relay.host.run("systemctl", "is-active", UNIT) == "active\n"
    login = account(relay)
    assert relay.host.run("ls", f"{DISK}/{DOMAIN}/{login.address}/password")
