"""The proof that a relay works: two clients of our own log in, and a message goes all the way.

Both are on this host and speak to it as any client does, by TLS on the public ports. Their
accounts are removed afterwards.
"""

import contextlib
import imaplib
import smtplib
import ssl
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from doveauth.offers import login_lengths, random_login
from doveauth.policy import Rules, shortage
from doveauth.resources import read_resources
from postern.acting import acting_as
from postern.host.rendering import render
from relay.config import Config
from relay.mailbox import removal
from relay.owner import Owner

HOST = "127.0.0.1"
SECONDS = 30.0
"""For one answer, and for the message's way."""


class Unproven(Exception):
    """A step of the proof failed; the message names it."""


@dataclass(frozen=True, slots=True)
class Client:
    """An address that nobody has used yet."""

    address: str
    password: str


def prove(config: Config, owner: Owner) -> str:
    """Log in twice and send a message; return what was shown, in words. Raises Unproven."""
    if reason := _no_accounts(config):
        return f"not tried: no account can be made now, because {reason}"
    sender, receiver = _client(config), _client(config)
    try:
        return _message(sender, receiver)
    finally:
        with acting_as(owner):
            for each in (sender, receiver):
                removal.remove(config.mailboxes_dir / each.address)


def _no_accounts(config: Config) -> str | None:
    """Why doveauth makes no account at the moment."""
    if config.registration != "open":
        return f"registration is {config.registration}"
    short = shortage(read_resources(config.mailboxes_dir), Rules.of(config))
    return short.value if short else None


def _message(sender: Client, receiver: Client) -> str:
    with _step("a first login over IMAP (993)"), _imap(receiver) as inbox:
        with _step("METADATA"):
            _metadata(inbox)
        with _step("a first login over SMTP (465)"), _smtp(sender) as smtp:
            began = time.monotonic()
            with _step("sending an encrypted message"):
                smtp.sendmail(sender.address, [receiver.address], _letter(sender.address))
            with _step("its arrival"):
                _wait_for_message(inbox)
    return f"two first logins, and a message after {time.monotonic() - began:.2f} s"


def _client(config: Config) -> Client:
    name, password = random_login(*login_lengths(Rules.of(config)))
    return Client(f"{name}@{config.mail_domain}", password)


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, imaplib.IMAP4.error, smtplib.SMTPException, ssl.SSLError) as error:
        raise Unproven(f"{name} failed: {error}") from error


def _tls() -> ssl.SSLContext:
    """The host talks to itself: who it is needs no certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _imap(client: Client) -> Iterator[imaplib.IMAP4_SSL]:
    with imaplib.IMAP4_SSL(HOST, 993, ssl_context=_tls(), timeout=SECONDS) as imap:
        imap.login(client.address, client.password)
        yield imap


@contextlib.contextmanager
def _smtp(client: Client) -> Iterator[smtplib.SMTP_SSL]:
    with smtplib.SMTP_SSL(HOST, 465, context=_tls(), timeout=SECONDS) as smtp:
        smtp.login(client.address, client.password)
        yield smtp


def _metadata(imap: imaplib.IMAP4_SSL) -> None:
    imaplib.Commands.setdefault("GETMETADATA", ("AUTH", "SELECTED"))
    entry = "/shared/vendor/deltachat/maxsmtprecipients"
    status, said = imap.xatom("GETMETADATA", '""', f"({entry})")
    if status != "OK" or entry.encode() not in repr(imap.response("METADATA")).encode():
        raise imap.error(f"GETMETADATA: {said!r}")


def _letter(sender: str) -> bytes:
    values = {"sender": sender, "message_id": uuid.uuid4()}
    return render("letters/encrypted.eml", values).replace("\n", "\r\n").encode()


def _wait_for_message(imap: imaplib.IMAP4_SSL) -> None:
    end = time.monotonic() + SECONDS
    while imap.select("INBOX")[1][0] in (None, b"0"):
        if time.monotonic() > end:
            raise TimeoutError(f"no message after {SECONDS:g} s; see postqueue -p")
        time.sleep(0.05)
