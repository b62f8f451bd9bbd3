"""What comes in from other relays."""

import smtplib
from pathlib import Path

import pytest

from relay.mailbox.directory import ENFORCE
from sandbox import letters
from sandbox.clients import SECONDS
from sandbox.login import Login
from sandbox.ports import LOOPBACK
from sandbox.relay import Sandbox
from tests.e2e.tools import register, send_from_outside, wait_for_ids

pytestmark = pytest.mark.e2e
STRANGER = "stranger@outside.example"


def _enforcement(sandbox: Sandbox, login: Login) -> Path:
    return sandbox.layout.mail / login.address / ENFORCE


def test_cleartext_is_refused_until_its_receiver_takes_it(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    letter = letters.cleartext(STRANGER, "in-clear")
    assert send_from_outside(sandbox, STRANGER, login.address, letter) == 523
    _enforcement(sandbox, login).unlink()
    assert send_from_outside(sandbox, STRANGER, login.address, letter) == 250
    wait_for_ids(sandbox, login, ["in-clear"])


def test_encrypted_mail_comes_in(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    letter = letters.encrypted(STRANGER, "from-outside")
    assert send_from_outside(sandbox, STRANGER, login.address, letter) == 250
    wait_for_ids(sandbox, login, ["from-outside"])
    assert _enforcement(sandbox, login).exists()


@pytest.mark.parametrize("service", ["smtp", "reinject-incoming"])
def test_nothing_is_relayed_to_other_domains(sandbox: Sandbox, service: str) -> None:
    with smtplib.SMTP(LOOPBACK, sandbox.ports[service], timeout=SECONDS) as smtp:
        smtp.ehlo()
        smtp.mail(STRANGER)
        assert smtp.rcpt("somebody@elsewhere.example")[0] == 554
