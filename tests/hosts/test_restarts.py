"""Restarts under a load of a few messages: nobody is refused, and nothing is lost."""

import secrets
import threading
from collections.abc import Callable

import pytest

from sandbox.clients import DEVICE_TOKEN
from sandbox.login import Login
from tests.hosts.letters import (
    account,
    bring_in_encrypted,
    submit_encrypted,
    together,
    wait_for_ids,
)
from tests.hosts.relay import SERVICES, Relay
from tests.support import poll

LEAST = 8
"""Messages each way."""
RESTARTS = 2


def _send(one: Callable[[str], None], prefix: str, restarted: threading.Event) -> list[str]:
    """Send messages until all restarts are over, and some after that; return their ids."""
    sent: list[str] = []
    while len(sent) < LEAST or not restarted.is_set():
        sent.append(f"{prefix}-{len(sent)}")
        one(sent[-1])
    return sent


@pytest.mark.parametrize("command", ["restart", "reload"])
@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_lost(relay: Relay, service: str, command: str) -> None:
    alice, bob = account(relay), account(relay)
    token = secrets.token_hex(20)
    with relay.imap(bob) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    restarted, sent = threading.Event(), []

    def restart() -> None:
        try:
            for _ in range(RESTARTS):
                relay.host.systemctl(command, service)
        finally:
            restarted.set()

    def write(sender: Login | None, prefix: str) -> None:
        def one(message_id: str) -> None:
            if sender is None:
                bring_in_encrypted(relay, bob, message_id)
            else:
                submit_encrypted(relay, sender, bob, message_id)

        sent.extend(_send(one, prefix, restarted))

    assert together(lambda: write(alice, "out"), lambda: write(None, "in"), restart) == []
    wait_for_ids(relay, bob, sent)
    poll(lambda: relay.gateway.tokens.count(token) >= len(sent), f"{len(sent)} pushes")
