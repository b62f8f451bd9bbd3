"""What the end-to-end tests do in several places."""

import re
import smtplib
from collections.abc import Iterable
from pathlib import Path

from sandbox import letters
from sandbox.clients import SECONDS, Imap, Smtp
from sandbox.login import Login
from sandbox.ports import LOOPBACK
from sandbox.relay import Sandbox
from tests.support import poll

SAMPLES = Path(__file__).parents[1] / "samples"


class SocketSmtp(smtplib.LMTP):
    """A client of an SMTP service on a unix socket; smtplib knows such sockets for LMTP only."""

    ehlo_msg = "ehlo"

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), timeout=SECONDS)


def register(sandbox: Sandbox, *logins: Login) -> None:
    """Make accounts, by a first login each."""
    for login in logins:
        with Imap(sandbox.ports, login):
            pass


def send(sandbox: Sandbox, sender: Login, recipients: Iterable[str], message: bytes) -> None:
    """Submit a message that must be accepted."""
    with Smtp(sandbox.ports, sender) as smtp:
        answer = smtp.transact(sender.address, list(recipients), message)
    assert answer[0] == 250, answer


def send_from_outside(sandbox: Sandbox, sender: str, recipient: str, message: bytes) -> int:
    """Bring a message in as another relay would; the code of the reply."""
    with smtplib.SMTP(LOOPBACK, sandbox.ports["smtp"], timeout=SECONDS) as smtp:
        smtp.ehlo()
        for code, text in (smtp.mail(sender), smtp.rcpt(recipient)):
            assert code == 250, (code, text)
        return smtp.data(message)[0]


def message_ids(sandbox: Sandbox, login: Login) -> list[str]:
    """The part before the @ of each message id in a mailbox."""
    with Imap(sandbox.ports, login) as imap:
        count = imap.wait_for_messages(0)
        fetched = [imap.fetch_message(number + 1) for number in range(count)]
    found = [re.search(rb"^Message-ID: <([^@]+)@", text, re.MULTILINE) for text in fetched]
    return [match[1].decode() for match in found if match]


def wait_for_ids(sandbox: Sandbox, login: Login, ids: Iterable[str]) -> None:
    """Return once a mailbox has exactly these messages, each once."""
    expected = sorted(ids)
    poll(lambda: sorted(message_ids(sandbox, login)) == expected, f"{len(expected)} messages")


def received(sandbox: Sandbox, login: Login, count: int = 1) -> list[bytes]:
    """The messages of a mailbox once it has `count`."""
    with Imap(sandbox.ports, login) as imap:
        there = imap.wait_for_messages(count)
        return [imap.fetch_message(number + 1) for number in range(there)]


def sample(name: str, sender: str) -> bytes:
    """A captured message, as if `sender` had sent it."""
    text = (SAMPLES / name).read_bytes()
    captured = re.search(rb"^From: .*<([^>]+)>", text, re.MULTILINE)
    assert captured
    return text.replace(captured[1], sender.encode())


def encrypted(sender: Login, message_id: str | None = None) -> bytes:
    """An encrypted message from `sender`."""
    return letters.encrypted(sender.address, message_id)


def tell(text: str) -> None:
    """Show a figure, where pytest was started with -s."""
    print(text)  # noqa: T201 - the figure is for a person
