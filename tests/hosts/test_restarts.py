"""Restarts under a load of a few messages: nothing is refused for good, and nothing is lost.

A sender may hear "not now" (421 or 451) where its message reached a filter that ends. It then tries
again, as clients and servers do.
"""

import secrets
import threading
import time
from collections.abc import Callable

import pytest

from sandbox import letters
from sandbox.clients import DEVICE_TOKEN
from sandbox.login import Login
from tests.hosts.letters import (
    STRANGER,
    Answer,
    account,
    bring_in,
    submit,
    submit_encrypted,
    together,
    wait_for_ids,
)
from tests.hosts.relay import SERVICES, Relay
from tests.support import poll

LEAST = 5
"""Messages each way."""
PAUSE = 0.1
"""Seconds between two messages of one sender."""
TRIES = 20
"""How often a message may be refused for now."""
RESTARTS = 2


class Load:
    """A sender that writes to one receiver until it is told that it is enough."""

    def __init__(self, send_one: Callable[[bytes], Answer], sender: str, prefix: str) -> None:
        self._send_one = send_one
        self._sender = sender
        self._prefix = prefix
        self._enough = threading.Event()
        self.sent: list[str] = []

    def run(self) -> None:
        """Send messages, each until it is accepted."""
        while len(self.sent) < LEAST or not self._enough.is_set():
            message_id = f"{self._prefix}-{len(self.sent)}"
            letter = letters.encrypted(self._sender, message_id)
            for _ in range(TRIES):
                code, text = self._send_one(letter)
                if code // 100 != 4:
                    break
                time.sleep(PAUSE)
            assert code == 250, text
            self.sent.append(message_id)
            self._enough.wait(PAUSE)

    def wait_for_more(self) -> None:
        """Wait until two more messages have been accepted."""
        goal = len(self.sent) + 2
        poll(lambda: len(self.sent) >= goal or self._enough.is_set(), "more messages")

    def stop(self) -> None:
        """Let the sender end."""
        self._enough.set()


@pytest.mark.parametrize("command", ["restart", "reload"])
@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_lost(relay: Relay, service: str, command: str) -> None:
    alice, bob = account(relay), account(relay)
    loads = [
        Load(lambda letter: submit(relay, alice, bob, letter), alice.address, "out"),
        Load(lambda letter: bring_in(relay, bob, letter), STRANGER, "in"),
    ]

    def restart() -> None:
        try:
            # One after the other has recovered: Dovecot asks doveauth twice at most.
            for _ in range(RESTARTS):
                relay.host.systemctl(command, service)
                for load in loads:
                    load.wait_for_more()
        finally:
            for load in loads:
                load.stop()

    assert together(*(load.run for load in loads), restart) == []
    wait_for_ids(relay, bob, [*loads[0].sent, *loads[1].sent])
    _assert_pushed(relay, alice, bob)


def _assert_pushed(relay: Relay, alice: Login, bob: Login) -> None:
    token = secrets.token_hex(20)
    with relay.imap(bob) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    submit_encrypted(relay, alice, bob, "pushed")
    poll(lambda: token in relay.gateway.tokens, "a push after all")
