"""Strangers reach the operator in cleartext, and nobody else, through the real Postfix."""

import smtplib
from email.message import EmailMessage

import pytest

from sandbox.login import Login
from tests.hosts.relay import DOMAIN, PORTS, Relay

OPERATOR = Login(f"operator1@{DOMAIN}", "a-long-enough-password")


def complaint(recipient: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "someone@far.example"
    message["To"] = recipient
    message["Message-ID"] = "<1@far.example>"
    message["Date"] = "Mon, 16 Nov 2026 12:34:14 +0000"
    message["Subject"] = f"To {recipient}"
    message.set_content("Your user writes to me.\n")
    return message


def send(relay: Relay, recipient: str) -> None:
    with smtplib.SMTP(relay.address, PORTS["smtp"], timeout=30) as smtp:
        smtp.sendmail("someone@far.example", [recipient], complaint(recipient).as_bytes())


@pytest.mark.parametrize("role", ["postmaster", f"Postmaster@{DOMAIN}", f"abuse@{DOMAIN}"])
def test_a_stranger_writes_to_the_operator(relay: Relay, role: str) -> None:
    with relay.imap(OPERATOR) as imap:
        there = int(imap.select("INBOX")[1][0] or b"0")
        send(relay, role)
        assert imap.wait_for_messages(there + 1) == there + 1
        assert f"Subject: To {role}".encode() in imap.fetch_message(there + 1)


def test_the_operator_s_own_address_takes_no_cleartext(relay: Relay) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(relay, OPERATOR.address)
    assert refused.value.smtp_code == 523
