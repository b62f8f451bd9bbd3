"""What a relay accepts of its own users, and what it makes of it."""

import re
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox import letters
from sandbox.clients import SECONDS, Imap, Smtp
from sandbox.login import Login, fresh_login
from sandbox.ports import LOOPBACK
from sandbox.probes import client_context, greets_on_socket
from sandbox.relay import Sandbox
from tests.e2e.tools import encrypted, received, register, sample, send, wait_for_ids
from tests.support import poll

pytestmark = pytest.mark.e2e


def test_cleartext_is_refused(sandbox: Sandbox, login: Login) -> None:
    with Smtp(sandbox.ports, login) as smtp:
        code, text = smtp.transact(login.address, [login.address], letters.cleartext(login.address))
    assert code == 523
    assert text.startswith("Encryption Needed: Invalid Unencrypted Mail")


def test_a_legacy_securejoin_request_is_accepted(sandbox: Sandbox, login: Login) -> None:
    request = sample("securejoin-legacy-vc-request-cleartext.eml", login.address)
    send(sandbox, login, [login.address], request)
    assert b"Secure-Join: vc-request" in received(sandbox, login)[0]


@pytest.mark.parametrize("address", ["{other}", "", "x{own}"])
def test_a_foreign_envelope_sender_is_refused(sandbox: Sandbox, login: Login, address: str) -> None:
    other = fresh_login(sandbox.domain)
    register(sandbox, other)
    sender = address.format(other=other.address, own=login.address)
    with Smtp(sandbox.ports, login) as smtp:
        code, text = smtp.transact(sender, [other.address], encrypted(login))
    assert (code, text[:5]) == (553, "5.7.1")


@pytest.mark.parametrize(
    "form",
    [
        # Postfix splits what the map returns at blanks and commas: each part was an owner.
        '"ceo {own} "@bank.example',
        '" {own} 0"@bank.example',
        '"x,{own},x"@bank.example',
        '"{own}"@bank.example',
        "{own}@bank.example",
        "{local}%bank.example@{domain}",
        "{local}@bank.example",
        "{local}@sub.{domain}",
    ],
)
def test_no_sender_but_a_plain_address_of_this_relay(
    sandbox: Sandbox, login: Login, form: str
) -> None:
    local, _, domain = login.address.partition("@")
    sender = form.format(own=login.address, local=local, domain=domain)
    with Smtp(sandbox.ports, login) as smtp:
        smtp.ehlo()
        code, _ = smtp.docmd(f"MAIL FROM:<{sender}>")
        if code == 250:  # Postfix judges the sender at RCPT
            code, _ = smtp.docmd(f"RCPT TO:<{login.address}>")
    assert code in (501, 553)


def test_no_delivery_reports_are_promised(sandbox: Sandbox, login: Login) -> None:
    with Smtp(sandbox.ports, login) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("dsn")
        assert smtp.docmd(f"MAIL FROM:<{login.address}>")[0] == 250
        assert smtp.docmd(f"RCPT TO:<{login.address}> NOTIFY=SUCCESS")[0] == 501


def test_a_foreign_from_header_is_refused(sandbox: Sandbox, login: Login) -> None:
    other = fresh_login(sandbox.domain)
    with Smtp(sandbox.ports, login) as smtp:
        code, _ = smtp.transact(login.address, [login.address], encrypted(other))
    assert 500 <= code <= 599


def test_the_address_may_be_spelt_in_any_case(sandbox: Sandbox, login: Login) -> None:
    with Smtp(sandbox.ports, login) as smtp:
        code, text = smtp.transact(login.address.upper(), [login.address.upper()], encrypted(login))
    assert code == 250, text
    assert received(sandbox, login)


def test_starttls_is_as_good_and_required(sandbox: Sandbox, login: Login) -> None:
    with smtplib.SMTP(LOOPBACK, sandbox.ports["submission"], timeout=SECONDS) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("auth")
        assert smtp.mail(login.address)[0] == 530
        smtp.starttls(context=client_context())
        smtp.login(login.address, login.password)
        smtp.sendmail(login.address, [login.address], encrypted(login))
    assert received(sandbox, login)


def test_two_recipients_each_get_it(sandbox: Sandbox, login: Login) -> None:
    others = [fresh_login(sandbox.domain) for _ in range(2)]
    register(sandbox, *others)
    send(sandbox, login, [other.address for other in others], encrypted(login, "for-two"))
    for other in others:
        wait_for_ids(sandbox, other, ["for-two"])


def test_an_unknown_recipient_is_accepted_and_bounced(sandbox: Sandbox, login: Login) -> None:
    other = fresh_login(sandbox.domain)
    register(sandbox, other)
    unknown = fresh_login(sandbox.domain).address
    send(sandbox, login, [unknown, other.address], encrypted(login, "half-lost"))
    wait_for_ids(sandbox, other, ["half-lost"])
    (bounce,) = received(sandbox, login)
    assert b"multipart/report" in bounce
    assert unknown.encode() in bounce


def test_what_a_client_says_of_itself_does_not_go_on(sandbox: Sandbox, login: Login) -> None:
    told = b"Received: from phone.home.example (phone.home.example [192.0.2.77])\r\n"
    told += b"User-Agent: something/1.0\r\nSubject: the secret subject\r\n"
    message = told + re.sub(rb"(?m)^Subject: .*\r\n", b"", encrypted(login))
    other = fresh_login(sandbox.domain)
    register(sandbox, other)
    send(sandbox, login, [other.address], message)
    (arrived,) = received(sandbox, other)
    for secret in (b"192.0.2.77", b"home.example", b"something/1.0", b"secret subject"):
        assert secret not in arrived
    # The header of the submission itself would name the client's address and the account.
    assert arrived.count(b"\nReceived: ") == 1


def test_with_reinjection_down_the_client_is_asked_to_come_again(
    sandbox: Sandbox, login: Login
) -> None:
    register(sandbox, login)
    with _reinjection_down(sandbox), Smtp(sandbox.ports, login) as smtp:
        code, text = smtp.transact(login.address, [login.address], encrypted(login, "retried"))
    assert code == 451, text
    send(sandbox, login, [login.address], encrypted(login, "retried"))
    wait_for_ids(sandbox, login, ["retried"])


@contextmanager
def _reinjection_down(sandbox: Sandbox) -> Iterator[None]:
    """Take the reinject service out of the running Postfix for a while."""
    master = sandbox.layout.postfix / "master.cf"
    socket = sandbox.layout.reinject_sockets / "reinject-outgoing"
    answers = greets_on_socket(socket, b"220 ")
    whole = master.read_text()
    postfix = ["-c", str(sandbox.layout.postfix)]
    try:
        subprocess.run(["postconf", *postfix, "-MX", "reinject-outgoing/unix"], check=True)
        subprocess.run(["postfix", *postfix, "reload"], check=True, capture_output=True)
        poll(lambda: not answers(), "the end of the reinject service")
        # Connections that filtermail keeps open still have their smtpd.
        sandbox.restart("filtermail@outgoing")
        yield
    finally:
        master.write_text(whole)
        subprocess.run(["postfix", *postfix, "reload"], check=True, capture_output=True)
        poll(answers, "the reinject service again")


def test_an_imap_client_finds_what_it_looks_for(sandbox: Sandbox, login: Login) -> None:
    with Imap(sandbox.ports, login) as imap:
        capabilities = imap.capability()[1][0].split()
        quota = imap.getquotaroot("INBOX")
    for capability in (b"IDLE", b"MOVE", b"QUOTA", b"METADATA", b"XCHATMAIL", b"XDELTAPUSH"):
        assert capability in capabilities
    assert b"COMPRESS=DEFLATE" not in capabilities  # it keeps sessions from hibernating
    assert b"STORAGE 0 512000" in str(quota).encode()


def test_a_connection_that_dovecot_has_closed_defers_nothing(
    sandbox: Sandbox, login: Login
) -> None:
    """Postfix keeps its LMTP connection for two seconds after a delivery."""
    register(sandbox, login)
    log = sandbox.layout.logs / "postfix.log"
    before = log.read_text().count("status=deferred")
    with Smtp(sandbox.ports, login) as smtp:
        for number in range(1, 4):
            letter = encrypted(login, f"message-{number}")
            code, text = smtp.transact(login.address, [login.address], letter)
            assert code == 250, text
            wait_for_ids(sandbox, login, [f"message-{n + 1}" for n in range(number)])
            sandbox.restart("dovecot")
    assert log.read_text().count("status=deferred") == before
