"""doveauth under its unit: first logins over a real Dovecot make accounts."""

import smtplib
import threading
from collections.abc import Callable
from functools import partial

import pytest

from sandbox.clients import SECONDS
from sandbox.login import Login
from sandbox.probes import client_context
from tests.hosts.letters import together
from tests.hosts.relay import PORTS, Relay

DAY = 86400


def _imap(relay: Relay, login: Login) -> None:
    with relay.imap(login):
        pass


def _smtps(relay: Relay, login: Login) -> None:
    with relay.smtp(login):
        pass


def _submission(relay: Relay, login: Login) -> None:
    with smtplib.SMTP(relay.address, PORTS["submission"], timeout=SECONDS) as client:
        client.starttls(context=client_context())
        client.login(login.address, login.password)


@pytest.mark.parametrize("log_in", [_imap, _smtps, _submission])
def test_a_first_login_makes_the_account(
    relay: Relay, log_in: Callable[[Relay, Login], None]
) -> None:
    login = relay.login()
    log_in(relay, login)
    stored = relay.mailbox(login) / "password"
    assert stored.read_text().startswith("{SHA512-CRYPT}$6$")
    assert stored.stat().st_uid == int(relay.host.run("id", "-u", "vmail"))
    assert stored.stat().st_mtime % DAY == 0


def test_a_wrong_password_is_refused(relay: Relay) -> None:
    login = relay.login()
    _imap(relay, login)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        _smtps(relay, Login(login.address, "not-the-password"))


def test_imap_and_smtp_may_log_in_first_at_the_same_moment(relay: Relay) -> None:
    """What a client does that configures itself; both must be let in, by the same password."""
    for _ in range(5):
        login = relay.login()
        assert together(partial(_imap, relay, login), partial(_smtps, relay, login)) == []
        _imap(relay, login)


@pytest.mark.parametrize(
    "restart",
    [
        ["restart", "doveauth.service"],
        ["reload", "doveauth.service"],
        ["restart", "doveauth-auth.socket", "doveauth-lookups.socket"],
    ],
    ids=["service", "reload", "sockets"],
)
def test_a_restart_refuses_no_login(relay: Relay, restart: list[str]) -> None:
    known = relay.login()
    _imap(relay, known)
    over = threading.Event()

    def keep_logging_in() -> None:
        while not over.is_set():
            _imap(relay, known)
            _imap(relay, relay.login())

    def restart_it() -> None:
        try:
            for _ in range(3):
                relay.host.systemctl(*restart)
        finally:
            over.set()

    assert together(keep_logging_in, restart_it) == []
