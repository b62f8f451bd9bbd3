"""Restarts of Debian's servers under a load: what was accepted is delivered, once.

Clients that come during a restart may be refused, or wait. How many and for how long is printed.
"""

import imaplib
import itertools
import select
import smtplib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest

from sandbox import letters
from sandbox.login import Login
from tests.hosts.https import HttpsSmtp, connected
from tests.hosts.letters import account, every, message_ids
from tests.hosts.relay import Relay
from tests.support import poll

PAUSE = 0.25
"""Seconds between two messages."""
BEFORE, AFTER = 1.0, 2.0
"""Seconds of load before a restart, and after it."""
THROTTLED = 75.0
"""Seconds within which Postfix answers again."""


@dataclass(slots=True)
class Attempt:
    """One message that a client tried to send."""

    message_id: str
    began: float
    failure: str = ""
    seconds: float = 0.0


class Senders:
    """Clients that log in and send one message each, by ports 465 and 443 in turns."""

    def __init__(self, relay: Relay, sender: Login, recipient: Login) -> None:
        self._relay = relay
        self._sender = sender
        self._recipient = recipient
        self._numbers = itertools.count()
        self.attempts: list[Attempt] = []

    def send(self) -> None:
        """Send one message, and note what came of it."""
        number = next(self._numbers)
        attempt = Attempt(f"restart-{number}", time.monotonic())
        self.attempts.append(attempt)
        letter = letters.encrypted(self._sender.address, attempt.message_id)
        try:
            with self._client(by_https=number % 2 == 1) as smtp:
                smtp.sendmail(self._sender.address, [self._recipient.address], letter)
        except (OSError, smtplib.SMTPException) as error:
            attempt.failure = repr(error)
        attempt.seconds = time.monotonic() - attempt.began

    def send_until_accepted(self) -> None:
        """Try again where it fails: Postfix starts no smtpd for a minute after one found no SASL.

        That is `service_throttle_time`; clients wait for it, some longer than they have patience.
        """
        end = time.monotonic() + THROTTLED
        self.send()
        while self.attempts[-1].failure:
            assert time.monotonic() < end, self.attempts[-1].failure
            self.send()

    def _client(self, *, by_https: bool) -> smtplib.SMTP:
        if not by_https:
            return self._relay.smtp(self._sender)
        smtp = HttpsSmtp(connected(self._relay, ["smtp"]))
        try:
            smtp.login(self._sender.address, self._sender.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def accepted(self) -> list[str]:
        """The ids of the messages that the relay took."""
        return [each.message_id for each in self.attempts if not each.failure]

    def figures(self) -> str:
        """How many were refused, for how long, and how long the slowest waited."""
        refused = [each for each in self.attempts if each.failure]
        span = refused[-1].began - refused[0].began if refused else 0.0
        slowest = max(each.seconds for each in self.attempts)
        text = f"{len(refused)} of {len(self.attempts)} refused within {span:.1f} s"
        kinds = sorted({each.failure for each in refused})
        return f"{text}, slowest {slowest:.1f} s {kinds if kinds else ''}"


class IdleClient:
    """A client that idles in INBOX, and connects again where it is disconnected."""

    def __init__(self, relay: Relay, login: Login) -> None:
        self._relay = relay
        self._login = login
        self._enough = False
        self._thread = threading.Thread(target=self._run)
        self.sessions = 0
        self.refused = 0
        self.heard = 0

    def __enter__(self) -> "IdleClient":
        self._thread.start()
        poll(lambda: self.sessions > 0, "an idle client")
        return self

    def __exit__(self, *_: object) -> None:
        self._enough = True
        self._thread.join()

    def _run(self) -> None:
        while not self._enough:
            try:
                imap = self._relay.imap(self._login)
            except (OSError, imaplib.IMAP4.error):
                self.refused += 1
                time.sleep(PAUSE)
                continue
            with suppress(OSError, imaplib.IMAP4.error):
                imap.start_idle()
                self.sessions += 1
                self._listen(imap.sock)
            imap.shutdown()

    def _listen(self, connection: socket.socket) -> None:
        """Count news until the session ends."""
        while not self._enough:
            readable, _, _ = select.select([connection], [], [], PAUSE)
            if readable:
                lines = connection.recv(4096)
                if not lines:
                    return
                self.heard += lines.count(b"EXISTS")


@pytest.mark.parametrize("server", ["dovecot", "postfix", "nginx", "opendkim"])
def test_a_restart_of_a_server_loses_nothing(relay: Relay, server: str) -> None:
    alice, bob = account(relay), account(relay)
    senders = Senders(relay, alice, bob)
    with IdleClient(relay, bob) as idle:
        with ThreadPoolExecutor(64) as pool, every(PAUSE, lambda: pool.submit(senders.send)):
            time.sleep(BEFORE)
            relay.host.systemctl("restart", server)
            time.sleep(AFTER)
        relay.report(
            f"{server}: {senders.figures()}; the idle client had {idle.sessions} sessions "
            f"and was refused {idle.refused} times"
        )
        _assert_delivered_once(relay, bob, senders)
        heard = idle.heard
        senders.send_until_accepted()
        poll(lambda: idle.heard > heard, "the next message, by the idle client")
    # filtermail logs what it had to turn away, and nothing else is amiss.
    assert [each for each in relay.complaints() if "is to be sent again" not in each] == []
    relay.forget_complaints()


def _assert_delivered_once(relay: Relay, bob: Login, senders: Senders) -> None:
    """All that was accepted is there; a client that broke off cannot know of its own message."""
    accepted = set(senders.accepted())
    poll(lambda: accepted <= set(message_ids(relay, bob)), "all accepted messages")
    there = message_ids(relay, bob)
    assert len(there) == len(set(there))
