"""metadata under its unit: tokens are kept, and pushes reach a gateway over DNS and HTTPS."""

import json
import secrets

from postern.host.install.plan import CURRENT as VENV
from sandbox.clients import DEVICE_TOKEN
from sandbox.login import Login
from tests.hosts.letters import account, submit_encrypted, wait_for_ids
from tests.hosts.relay import Relay
from tests.support import poll

_REPORT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("/run/metadata/notify.socket")
    connection.sendall(sys.argv[1].encode())
    print(connection.recv(100).decode(), end="")
"""


def _set_token(relay: Relay, login: Login) -> str:
    token = f"openpgp:{secrets.token_hex(40)}"
    with relay.imap(login) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    return token


def test_a_token_is_kept_in_the_mailbox(relay: Relay) -> None:
    login = relay.login()
    token = _set_token(relay, login)
    with relay.imap(login) as imap:
        assert token.encode() in imap.get_metadata("INBOX", DEVICE_TOKEN)
    kept = relay.mailbox(login) / "metadata.json"
    assert token in json.dumps(json.loads(kept.read_text()))
    assert kept.stat().st_uid == int(relay.host.run("id", "-u", "vmail"))
    assert kept.stat().st_mode & 0o077 == 0


def test_a_message_wakes_the_phone(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    token = _set_token(relay, bob)
    submit_encrypted(relay, alice, bob, "wakes")
    poll(lambda: token in relay.gateway.tokens, "a push")


def test_a_report_on_the_notify_socket_leads_to_a_push(relay: Relay) -> None:
    """As Dovecot's delivery makes it, by its user; the answer comes once the push is on disk."""
    login = account(relay)
    token = _set_token(relay, login)
    report = f"H3\t2\t0\t\tmetadata\nB1\t{login.address}\nS1\tpriv/0/messagenew\t\nC1\n"
    asking = ["runuser", "-u", "vmail", "--", f"{VENV}/bin/python", "-c", _REPORT, report]
    assert relay.host.run(*asking) == "O1\n"
    poll(lambda: token in relay.gateway.tokens, "a push")


def test_a_message_that_could_not_be_reported_is_pushed_later(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    token = _set_token(relay, bob)
    relay.host.systemctl("stop", "metadata.service", "metadata.socket", "metadata-notify.socket")
    try:
        submit_encrypted(relay, alice, bob, "unreported")
        wait_for_ids(relay, bob, ["unreported"])
    finally:
        relay.host.systemctl("start", "metadata.service")
    poll(lambda: token in relay.gateway.tokens, "a push")


def test_pushes_outlive_a_restart_of_the_service(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    token = _set_token(relay, bob)
    relay.host.systemctl("stop", "metadata.service", "metadata.socket")
    try:
        submit_encrypted(relay, alice, bob, "while-away")
    finally:
        relay.host.systemctl("start", "metadata.service")
    submit_encrypted(relay, alice, bob, "once-back")
    poll(lambda: token in relay.gateway.tokens, "a push")
