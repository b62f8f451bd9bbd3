"""Senders that try each message until it is accepted, and note which were."""

import re
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Iterable

from bench.filter.messages import RECIPIENT, SENDER
from sandbox.ports import LOOPBACK

RETRY_SECONDS = 0.05
TIMEOUT_SECONDS = 60.0
_ENVELOPE = ("HELO localhost", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{RECIPIENT}>")
_MESSAGE_ID = re.compile(rb"(?<=\r\nMessage-ID: )<[^>]+>")
_CLEANED = re.compile(r"cleanup\[\d+\]: (\w+): message-id=(<[^>]+>)")
_SENT = re.compile(r"\[\d+\]: (\w+): to=<.*status=sent")


class Sender(threading.Thread):
    """Sends `letters` over and over, each time with a message id of its own, until `stop`."""

    def __init__(self, number: int, port: int, letters: list[bytes]) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._port = port
        self._letters = letters
        self._stopped = threading.Event()
        self.accepted: list[str] = []
        self.refused: list[str] = []
        """Answers that ended a message for good."""
        self.tries = 0

    def run(self) -> None:
        """Send until stopped; each message is tried until it is accepted or refused for good."""
        count = 0
        while not self._stopped.is_set():
            message_id = f"<{self._number}-{count}@sender.example>"
            letter = self._letters[count % len(self._letters)]
            self._deliver(message_id, _MESSAGE_ID.sub(message_id.encode(), letter, count=1))
            count += 1

    def stop(self) -> None:
        """Begin no other try."""
        self._stopped.set()

    def _deliver(self, message_id: str, letter: bytes) -> None:
        while not self._stopped.is_set():
            self.tries += 1
            code, text = self._try(letter)
            if code == 250:
                self.accepted.append(message_id)
                return
            if code >= 500:
                self.refused.append(f"{code} {text}")
                return
            time.sleep(RETRY_SECONDS)

    def _try(self, letter: bytes) -> tuple[int, str]:
        """The answer to the message; 451 where the connection gave none."""
        try:
            with smtplib.SMTP(LOOPBACK, self._port, timeout=TIMEOUT_SECONDS) as smtp:
                for command in _ENVELOPE:
                    code, text = smtp.docmd(command)
                    if code != 250:
                        break
                else:
                    code, text = smtp.data(letter)
                return code, text.decode("utf-8", "replace")
        except smtplib.SMTPResponseException as failure:
            return failure.smtp_code, str(failure.smtp_error)
        except (smtplib.SMTPException, OSError) as failure:
            return 451, str(failure)


def arrivals(log: Iterable[str]) -> Counter[str]:
    """How often each message id was delivered, by the log of Postfix."""
    ids: dict[str, str] = {}
    delivered: Counter[str] = Counter()
    for line in log:
        if cleaned := _CLEANED.search(line):
            # A queue id may come again once its message is gone.
            ids[cleaned[1]] = cleaned[2]
        elif sent := _SENT.search(line):
            delivered[ids[sent[1]]] += 1
    return delivered
