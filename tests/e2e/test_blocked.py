"""A blocked address, as its owner and those who write to it see it."""

import imaplib
import smtplib
import subprocess
import sys

import pytest

from sandbox.clients import Imap, Smtp
from sandbox.login import Login, fresh_login
from sandbox.relay import Sandbox
from tests.e2e.tools import encrypted, received, register, send

pytestmark = pytest.mark.e2e


def users(sandbox: Sandbox, command: str, login: Login) -> None:
    config = ("--config", str(sandbox.layout.config))
    subprocess.run(
        [sys.executable, "-m", "postern", "users", command, login.address, *config],
        check=True,
        capture_output=True,
    )


def test_a_blocked_address_neither_logs_in_nor_receives(sandbox: Sandbox, login: Login) -> None:
    writer = fresh_login(sandbox.domain)
    register(sandbox, login, writer)
    users(sandbox, "block", login)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        Imap(sandbox.ports, login)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        Smtp(sandbox.ports, login)
    send(sandbox, writer, [login.address], encrypted(writer))
    (bounce,) = received(sandbox, writer)
    assert b"multipart/report" in bounce
    users(sandbox, "unblock", login)
    with Imap(sandbox.ports, login) as imap:
        assert imap.wait_for_messages(0) == 0
    send(sandbox, writer, [login.address], encrypted(writer))
    assert len(received(sandbox, login)) == 1
