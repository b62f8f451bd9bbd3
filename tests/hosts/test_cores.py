"""Real Delta Chat cores chat on an installed relay, over the ports of mail and over port 443."""

import secrets
from pathlib import Path

import pytest

from sandbox.phone import core, join, log_in
from tests.hosts.relay import PORTS, Relay

HTTPS = {"imaps": 443, "smtps": 443}
"""There a core says by ALPN which of the two it speaks."""


@pytest.mark.parametrize("ports", [PORTS, HTTPS], ids=["993-465", "443"])
def test_two_cores_chat(relay: Relay, ports: dict[str, int], tmp_path: Path) -> None:
    links = [relay.login().link(ports, host=relay.address) for _ in range(2)]
    with core(tmp_path / "accounts") as manager:
        alice, bob = log_in(manager, links)
        join(alice, bob)
        for sender, receiver in ((alice, bob), (bob, alice)):
            text = f"hello {secrets.token_hex(8)}"
            sender.account.create_chat(receiver.account).send_text(text)
            assert receiver.wait_for_text(text).show_padlock
