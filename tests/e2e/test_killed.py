"""A daemon is killed in the middle of everything, and started again: nothing is lost."""

import secrets
import smtplib
import threading
import time

import pytest
from deltachat_rpc_client import DeltaChat

from sandbox.clients import Smtp
from sandbox.login import Login, fresh_login
from sandbox.phone import Phone
from sandbox.relay import Sandbox
from tests.e2e.tools import encrypted, message_ids, register
from tests.support import DEADLINE, poll

pytestmark = pytest.mark.e2e

DAEMONS = ("filtermail@outgoing", "filtermail@incoming", "doveauth", "metadata")
PER_SENDER = 8
"""Messages: fewer than the burst that the rate limit allows an address."""


class Correspondent(threading.Thread):
    """Sends one message after the other, each until it is accepted; notes what was."""

    def __init__(self, sandbox: Sandbox, receiver: Login) -> None:
        super().__init__(daemon=True)
        self._sandbox = sandbox
        self._sender = fresh_login(sandbox.domain)
        self._receiver = receiver.address
        self.accepted: list[str] = []
        self.refused: list[str] = []

    def run(self) -> None:
        for number in range(PER_SENDER):
            message_id = f"{self._sender.address[:9]}-{number}"
            while not self._try(message_id):
                time.sleep(0.05)
            self.accepted.append(message_id)

    def _try(self, message_id: str) -> bool:
        letter = encrypted(self._sender, message_id)
        try:
            with Smtp(self._sandbox.ports, self._sender) as smtp:
                code, text = smtp.transact(self._sender.address, [self._receiver], letter)
        except smtplib.SMTPAuthenticationError:
            return False  # Postfix 3.7 says 535 also where Dovecot reports a temporary failure
        if code >= 500:
            self.refused.append(f"{code} {text}")
        return code == 250


@pytest.mark.parametrize("name", DAEMONS)
def test_no_accepted_mail_and_no_account_is_lost(
    sandbox: Sandbox,
    manager: DeltaChat,
    friends: tuple[Phone, Phone],
    login: Login,
    name: str,
) -> None:
    alice, bob = friends
    register(sandbox, login)
    correspondents = [Correspondent(sandbox, login) for _ in range(3)]
    for correspondent in correspondents:
        correspondent.start()
    poll(lambda: all(len(c.accepted) >= 2 for c in correspondents), "mail before")
    chat, text = alice.account.create_chat(bob.account), f"while {secrets.token_hex(8)}"
    sandbox.kill(name)
    try:
        chat.send_text(text)
        # Long enough for everybody to have met the dead daemon.
        time.sleep(0.5)
    finally:
        sandbox.restart(name)
    # Clients wait half a minute before they try again, unless their network has changed.
    manager.maybe_network()
    assert bob.wait_for_text(text).show_padlock
    for correspondent in correspondents:
        correspondent.join(DEADLINE)
        assert not correspondent.refused, "what is down for a moment refuses nothing for good"
    accepted = {each for correspondent in correspondents for each in correspondent.accepted}
    # Some may be there twice: killed between Postfix' reply and its own, a filter has its client
    # send again what was queued.
    poll(lambda: set(message_ids(sandbox, login)) == accepted, "every message that was accepted")
    assert sum(len(c.accepted) for c in correspondents) == 3 * PER_SENDER
    register(sandbox, login, fresh_login(sandbox.domain))
