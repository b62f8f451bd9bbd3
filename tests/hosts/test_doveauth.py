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
from tests.support import poll

DAY = 86400
_SOCKETS = "cd /etc/systemd/system && ls doveauth-*.socket"


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


@pytest.mark.parametrize("command", ["restart", "reload"])
def test_a_restart_refuses_no_login(relay: Relay, command: str) -> None:
    known = relay.login()
    _imap(relay, known)
    logins, over = [known], threading.Event()

    def keep_logging_in() -> None:
        while not over.is_set():
            logins.append(relay.login())
            _imap(relay, known)
            _imap(relay, logins[-1])

    def restart() -> None:
        try:
            # One after the other has recovered: Dovecot asks doveauth twice at most.
            for _ in range(3):
                relay.host.systemctl(command, "doveauth.service")
                goal = len(logins) + 2
                poll(lambda goal=goal: len(logins) >= goal, "more logins")  # type: ignore[misc]
        finally:
            over.set()

    assert together(keep_logging_in, restart) == []


def test_the_sockets_may_be_started_anew(relay: Relay) -> None:
    """What an update of the units needs. A socket of a service that runs cannot be started."""
    units = ["doveauth.service", *relay.host.run("sh", "-c", _SOCKETS).split()]
    relay.host.systemctl("stop", *units)
    relay.host.systemctl("start", "doveauth.service")
    _imap(relay, relay.login())
