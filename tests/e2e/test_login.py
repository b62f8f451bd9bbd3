"""Accounts, as Dovecot and its clients see them."""

import imaplib
import os
import smtplib
import subprocess
import time
from pathlib import Path

import pytest

from relay.mailbox.directory import PASSWORD
from sandbox.clients import Imap, Smtp
from sandbox.login import Login, fresh_login
from sandbox.relay import Sandbox
from sandbox.threads import in_thread
from tests.e2e.tools import register
from tests.support import DEADLINE, poll

pytestmark = pytest.mark.e2e


def _password_file(sandbox: Sandbox, login: Login) -> Path:
    return sandbox.layout.mail / login.address / PASSWORD


def test_first_logins_at_the_same_moment_make_one_account(sandbox: Sandbox) -> None:
    logins = [fresh_login(sandbox.domain) for _ in range(3)]
    sessions = [
        (in_thread(Imap, sandbox.ports, login), in_thread(Smtp, sandbox.ports, login))
        for login in logins * 2
    ]
    for imap, smtp in sessions:
        with imap.result(DEADLINE), smtp.result(DEADLINE):
            pass
    for login in logins:
        assert _password_file(sandbox, login).exists()
        register(sandbox, login)


def test_of_a_hundred_first_logins_with_two_passwords_one_password_wins(sandbox: Sandbox) -> None:
    ours = fresh_login(sandbox.domain)
    theirs = Login(ours.address, fresh_login(sandbox.domain).password)
    # Half over IMAP and half over SMTP, and of each half every other with the other password.
    attempts = [
        (login, in_thread(_outcome, kind, sandbox, login))
        for _ in range(25)
        for login in (ours, theirs)
        for kind in (Imap, Smtp)
    ]
    outcomes = [(login, attempt.result(2 * DEADLINE)) for login, attempt in attempts]
    won = {login for login, outcome in outcomes if outcome == "in"}
    assert len(won) == 1
    for login, outcome in outcomes:
        assert outcome == ("in" if login in won else "refused")
    register(sandbox, won.pop())


def _outcome(kind: type[Imap] | type[Smtp], sandbox: Sandbox, login: Login) -> str:
    try:
        with kind(sandbox.ports, login, seconds=DEADLINE):
            return "in"
    except imaplib.IMAP4.error as error:
        return "refused" if "AUTHENTICATIONFAILED" in str(error) else str(error)
    except smtplib.SMTPAuthenticationError as error:
        return "refused" if error.smtp_code == 535 else str(error)


def test_dovecots_user_reaches_the_sockets_and_other_users_do_not(sandbox: Sandbox) -> None:
    sockets = sorted(sandbox.layout.sockets.glob("*.socket"))
    assert "lookups.socket" in {path.name for path in sockets}
    for path in sockets:
        # connect(2) asks for the right to write, and for a way through the directories.
        assert _may_write(path, "dovecot", "mail")
        for stranger in ("nobody", "postfix", "dovenull"):
            assert not _may_write(path, stranger, stranger if stranger != "nobody" else "nogroup")


def _may_write(path: Path, user: str, group: str) -> bool:
    command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "test", "-w"]
    return subprocess.run([*command, str(path)], check=False).returncode == 0


def test_a_wrong_password_is_refused_by_both(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    before = _password_file(sandbox, login).read_text()
    wrong = Login(login.address, "x" * len(login.password))
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        Imap(sandbox.ports, wrong)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        Smtp(sandbox.ports, wrong)
    assert _password_file(sandbox, login).read_text() == before


def test_with_doveauth_down_imap_does_not_tell_of_a_wrong_password(
    sandbox: Sandbox, login: Login
) -> None:
    register(sandbox, login)
    sandbox.kill("doveauth")
    try:
        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
            Imap(sandbox.ports, login)
    finally:
        sandbox.restart("doveauth")
    register(sandbox, login)


def test_doveadm_lists_the_accounts(sandbox: Sandbox, login: Login) -> None:
    other = fresh_login(sandbox.domain)
    register(sandbox, login, other)
    config = str(sandbox.layout.dovecot / "dovecot.conf")
    done = subprocess.run(
        ["doveadm", "-c", config, "user", "*"], capture_output=True, text=True, check=True
    )
    assert {login.address, other.address} <= set(done.stdout.split())


def test_a_login_is_noted_by_its_day_and_nowhere_else(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    password = _password_file(sandbox, login)
    today = int(time.time()) // 86400 * 86400
    os.utime(password, (today - 3 * 86400,) * 2)
    with Imap(sandbox.ports, login) as imap:
        imap.select("INBOX")
    poll(lambda: password.stat().st_mtime == today, "the day of the login")
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        Imap(sandbox.ports, Login(login.address, "x" * len(login.password)))
    for log in sandbox.layout.logs.iterdir():
        # Postfix was not asked.
        assert login.address not in log.read_text(), log.name
