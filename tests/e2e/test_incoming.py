"""What comes in from other relays."""

import smtplib
import socket
from pathlib import Path

import pytest

from relay.mailbox.directory import ENFORCE
from sandbox import letters
from sandbox.clients import SECONDS
from sandbox.login import Login, fresh_login
from sandbox.ports import LOOPBACK
from sandbox.relay import Sandbox
from tests.e2e.tools import SocketSmtp, message_ids, register, send_from_outside, wait_for_ids

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


@pytest.mark.parametrize("form", ["{own}", "OTHER@{domain}", '"{local}"@{domain}', "{own}."])
def test_nobody_outside_writes_as_a_local_user(sandbox: Sandbox, login: Login, form: str) -> None:
    register(sandbox, login)
    local, _, domain = login.address.partition("@")
    sender = form.format(own=login.address, local=local, domain=domain)
    with smtplib.SMTP(LOOPBACK, sandbox.ports["smtp"], timeout=SECONDS) as smtp:
        smtp.ehlo()
        code, _ = smtp.docmd(f"MAIL FROM:<{sender}>")
        if code == 250:  # Postfix judges the sender at RCPT
            code, _ = smtp.rcpt(login.address)
    assert code in (501, 550)


def test_nobody_outside_names_a_local_user_as_the_author(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    letter = letters.encrypted(login.address, "forged")
    assert send_from_outside(sandbox, STRANGER, login.address, letter) == 550
    assert message_ids(sandbox, login) == []


def test_a_recipient_who_does_not_exist_is_refused_to_the_sending_server(sandbox: Sandbox) -> None:
    """At the end of the data: by then Postfix (speed_adjust) has accepted each recipient."""
    letter = letters.encrypted(STRANGER, "for-nobody")
    with smtplib.SMTP(LOOPBACK, sandbox.ports["smtp"], timeout=SECONDS) as smtp:
        smtp.ehlo()
        assert smtp.mail(STRANGER)[0] == 250
        assert smtp.rcpt(fresh_login(sandbox.domain).address)[0] == 250
        assert smtp.data(letter) == (550, b"5.1.1 There is no such address here")


def test_one_who_does_not_exist_keeps_nothing_from_the_others(
    sandbox: Sandbox, login: Login
) -> None:
    register(sandbox, login)
    with smtplib.SMTP(LOOPBACK, sandbox.ports["smtp"], timeout=SECONDS) as smtp:
        smtp.ehlo()
        smtp.mail(STRANGER)
        for recipient in (fresh_login(sandbox.domain).address, login.address):
            assert smtp.rcpt(recipient)[0] == 250
        assert smtp.data(letters.encrypted(STRANGER, "for-one-of-two"))[0] == 250
    wait_for_ids(sandbox, login, ["for-one-of-two"])


def test_a_bounce_has_no_sender_to_be_judged(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    with smtplib.SMTP(LOOPBACK, sandbox.ports["smtp"], timeout=SECONDS) as smtp:
        smtp.ehlo()
        assert (smtp.mail("")[0], smtp.rcpt(login.address)[0]) == (250, 250)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n"])
def test_a_dot_on_a_line_that_ends_otherwise_ends_no_message(
    sandbox: Sandbox, login: Login, end: bytes
) -> None:
    """SMTP smuggling (CVE-2023-51764): what follows such a dot must not be a second message."""
    register(sandbox, login)
    smuggled = b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\nDATA\r\n%b" % (
        STRANGER.encode(),
        login.address.encode(),
        letters.encrypted(STRANGER, "smuggled"),
    )
    whole = letters.encrypted(STRANGER, "carrier").removesuffix(b"\r\n") + end + smuggled
    with smtplib.SMTP(LOOPBACK, sandbox.ports["smtp"], timeout=SECONDS) as smtp:
        smtp.ehlo()
        smtp.mail(STRANGER)
        smtp.rcpt(login.address)
        assert smtp.docmd("DATA")[0] == 354
        smtp.send(whole + b"\r\n.\r\n")
        first, _ = smtp.getreply()
        # The next reply belongs to the next command of ours, and to no smuggled one.
        assert smtp.docmd("NOOP")[0] == 250
        assert smtp.mail(STRANGER)[0] == 250
    assert first == 523  # the gate has seen one message, whose end is not that of its armour
    assert message_ids(sandbox, login) == []


def test_commands_sent_before_their_time_are_refused(sandbox: Sandbox) -> None:
    with socket.create_connection((LOOPBACK, sandbox.ports["smtp"]), SECONDS) as connection:
        assert connection.recv(512).startswith(b"220 ")
        connection.sendall(b"EHLO outside.example\r\nMAIL FROM:<x@outside.example>\r\n")
        answer = b""
        while data := connection.recv(512):
            answer += data
    assert b"\r\n554 5.5.0 " in answer or answer.startswith(b"554 5.5.0 ")


def test_encrypted_mail_comes_in(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    letter = letters.encrypted(STRANGER, "from-outside")
    assert send_from_outside(sandbox, STRANGER, login.address, letter) == 250
    wait_for_ids(sandbox, login, ["from-outside"])
    assert _enforcement(sandbox, login).exists()


def test_nothing_is_relayed_to_other_domains(sandbox: Sandbox) -> None:
    for smtp in (
        smtplib.SMTP(LOOPBACK, sandbox.ports["smtp"], timeout=SECONDS),
        SocketSmtp(sandbox.layout.reinject_sockets / "reinject-incoming"),
    ):
        with smtp:
            smtp.ehlo()
            smtp.mail(STRANGER)
            assert smtp.rcpt("somebody@elsewhere.example")[0] == 554
