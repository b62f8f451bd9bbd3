"""Sending and looking for messages on a host, and doing two things at once."""

import re
import smtplib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sandbox import letters
from sandbox.clients import SECONDS
from sandbox.login import Login
from tests.hosts.relay import PORTS, Relay
from tests.support import poll

STRANGER = "stranger@outside.example"
"""Who writes from another relay."""
Answer = tuple[int, str]
"""The code and the text of an SMTP reply."""


def account(relay: Relay) -> Login:
    """A new account, made by its first login."""
    login = relay.login()
    with relay.imap(login):
        pass
    return login


def submit(relay: Relay, sender: Login, recipient: Login, message: bytes) -> Answer:
    """Submit a message over TLS; return the last reply."""
    with relay.smtp(sender) as smtp:
        return smtp.transact(sender.address, [recipient.address], message)


def bring_in(relay: Relay, recipient: Login, message: bytes) -> Answer:
    """Bring a message in as another relay would; return the last reply."""
    with smtplib.SMTP(relay.address, PORTS["smtp"], timeout=SECONDS) as smtp:
        smtp.ehlo()
        for code, text in (smtp.mail(STRANGER), smtp.rcpt(recipient.address)):
            assert code == 250, text
        code, text = smtp.data(message)
        return code, text.decode(errors="replace")


def submit_encrypted(relay: Relay, sender: Login, recipient: Login, message_id: str) -> None:
    """Submit an encrypted message, which must be accepted."""
    answer = submit(relay, sender, recipient, letters.encrypted(sender.address, message_id))
    assert answer[0] == 250, answer


def bring_in_encrypted(relay: Relay, recipient: Login, message_id: str) -> None:
    """Bring in an encrypted message, which must be accepted."""
    answer = bring_in(relay, recipient, letters.encrypted(STRANGER, message_id))
    assert answer[0] == 250, answer


def message_ids(relay: Relay, login: Login) -> list[str]:
    """The part before the @ of each message id in a mailbox, in order of their names."""
    with relay.imap(login) as imap:
        count = imap.wait_for_messages(0)
        texts = [imap.fetch_message(number + 1) for number in range(count)]
    found = [re.search(rb"^Message-ID: <([^@]+)@", text, re.MULTILINE) for text in texts]
    return sorted(match[1].decode() for match in found if match)


def wait_for_ids(relay: Relay, login: Login, ids: Iterable[str]) -> None:
    """Return once a mailbox has exactly these messages, each once."""
    expected = sorted(ids)
    poll(lambda: message_ids(relay, login) == expected, f"{len(expected)} messages")


def together(*jobs: Callable[[], object]) -> list[BaseException]:
    """Run jobs in threads of their own; return what they raised."""
    raised: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - the test's to judge
            raised.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@contextmanager
def every(seconds: float, step: Callable[[], object]) -> Iterator[None]:
    """Take a step every so often, beside the block."""
    stop = threading.Event()

    def go() -> None:
        while not stop.wait(seconds):
            step()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(go)
        try:
            yield
        finally:
            stop.set()
            running.result(60)
