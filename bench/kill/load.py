"""A load of newcomers: each logs in for the first time, leaves a push token, and gets one message.

Every step is tried until it is done, and its success noted: what was confirmed must still be there
after all the kills.
"""

import contextlib
import imaplib
import secrets
import smtplib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from bench.filter.grid import SIZES
from bench.filter.messages import SENDER, message
from sandbox.clients import DEVICE_TOKEN, Imap, Smtp
from sandbox.login import Login, fresh_login
from sandbox.ports import LOOPBACK
from sandbox.relay import Sandbox

LETTERS = ("1.5KB", "100KB", "1.5KB", "1.5KB", "1MB", "1.5KB", "1.5KB")
STRANGER = "bench@sender.example"
RETRY_SECONDS = 0.05
TIMEOUT_SECONDS = 60.0
_FAILURES = (OSError, smtplib.SMTPException, imaplib.IMAP4.error)


@dataclass(slots=True)
class Newcomer:
    """One account, and what the relay has confirmed about it."""

    login: Login
    token: str
    logged_in: bool = False
    token_stored: bool = False
    sent_to: bool = False
    """Whether the message to it was accepted."""


class Load(threading.Thread):
    """Newcomers in pairs: to the second, the first sends a message; to the first, a stranger."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(daemon=True)
        self._sandbox = sandbox
        self._stopped = threading.Event()
        self._letters = cycle([message(SIZES[size]) for size in LETTERS])
        self.newcomers: list[Newcomer] = []
        self.refused: list[str] = []
        """Answers that ended a message for good."""
        self.tries = 0

    def run(self) -> None:
        """Work until stopped: a first pair in any case, and each to its end."""
        while True:
            first, second = self._join(), self._join()
            letter = next(self._letters)
            self._deliver(second, partial(self._submit, first, second, letter))
            self._deliver(first, partial(self._bring, first, letter))
            if self._stopped.is_set():
                return

    def stop(self) -> None:
        """Begin no other pair."""
        self._stopped.set()

    def _join(self) -> Newcomer:
        newcomer = Newcomer(fresh_login(self._sandbox.domain), f"kill:{secrets.token_hex(20)}")
        self.newcomers.append(newcomer)
        while not newcomer.token_stored:
            self.tries += 1
            with contextlib.suppress(*_FAILURES), Imap(self._sandbox.ports, newcomer.login) as imap:
                newcomer.logged_in = True
                imap.set_metadata("INBOX", DEVICE_TOKEN, newcomer.token)
                newcomer.token_stored = True
                break
            time.sleep(RETRY_SECONDS)
        return newcomer

    def _deliver(self, receiver: Newcomer, send: Callable[[], tuple[int, str]]) -> None:
        while not receiver.sent_to:
            self.tries += 1
            code, text = 451, ""
            with contextlib.suppress(*_FAILURES):
                code, text = send()
            if code >= 500:
                self.refused.append(f"{code} {text}")
                return
            receiver.sent_to = code == 250
            if not receiver.sent_to:
                time.sleep(RETRY_SECONDS)

    def _submit(self, sender: Newcomer, receiver: Newcomer, letter: bytes) -> tuple[int, str]:
        author = sender.login.address
        with Smtp(self._sandbox.ports, sender.login, seconds=TIMEOUT_SECONDS) as smtp:
            return smtp.transact(author, [receiver.login.address], _written_by(author, letter))

    def _bring(self, receiver: Newcomer, letter: bytes) -> tuple[int, str]:
        """Bring a message in as another relay would."""
        port = self._sandbox.ports["smtp"]
        with smtplib.SMTP(LOOPBACK, port, timeout=TIMEOUT_SECONDS) as smtp:
            commands = ("EHLO localhost", f"MAIL FROM:<{STRANGER}>")
            for command in (*commands, f"RCPT TO:<{receiver.login.address}>"):
                code, text = smtp.docmd(command)
                if code != 250:
                    break
            else:
                code, text = smtp.data(_written_by(STRANGER, letter))
            return code, text.decode("utf-8", "replace")


def _written_by(author: str, letter: bytes) -> bytes:
    return letter.replace(SENDER.encode(), author.encode(), 1)
