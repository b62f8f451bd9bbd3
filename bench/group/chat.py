"""Real Delta Chat cores in one group: how soon each member has each message.

A core that is alone on its address deletes a message from the server as soon as it has it. With
ten of them, a copy of a message may be gone before the next member's copy is made: a relay that
makes one copy from another fails here (Postfix then reports the recipient as deferred).
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from deltachat_rpc_client import Chat

from sandbox.login import fresh_login
from sandbox.phone import Phone, core, log_in
from sandbox.relay import Sandbox
from sandbox.threads import in_thread


class Group:
    """Phones that are members of one group. Waits raise TimeoutError."""

    def __init__(self, phones: Sequence[Phone]) -> None:
        self._phones = phones
        self._chats: list[Chat] = []

    @property
    def size(self) -> int:
        """How many members it has."""
        return len(self._phones)

    def gather(self) -> None:
        """Make the group; afterwards each member can write to it."""
        founder = self._phones[0].account
        group = founder.create_group("group")
        for phone in self._phones[1:]:
            group.add_contact(founder.create_contact(phone.account))
        # The first message carries everybody's key to everybody.
        group.send_text("welcome")
        self._chats = [group]
        for phone in self._phones[1:]:
            chat = phone.account.get_chat_by_id(phone.wait_for_text("welcome").chat_id)
            chat.accept()
            self._chats.append(chat)

    def talk(self, messages: int, pause: float) -> list[float]:
        """The members write in turn, every `pause` seconds: seconds until each receipt."""
        texts = [f"message {number} {secrets.token_hex(8)}" for number in range(messages)]
        heard = [
            in_thread(_listen, phone, [t for n, t in enumerate(texts) if n % self.size != at])
            for at, phone in enumerate(self._phones)
        ]
        sent: dict[str, float] = {}
        begun = time.monotonic()
        for number, text in enumerate(texts):
            time.sleep(max(0.0, begun + number * pause - time.monotonic()))
            sent[text] = time.monotonic()
            self._chats[number % self.size].send_text(text)
        return [moment - sent[text] for listener in heard for text, moment in _result(listener)]


def _listen(phone: Phone, texts: Sequence[str]) -> dict[str, float]:
    """When the phone had each of `texts`, which may come in any order."""
    missing, came = set(texts), {}
    while missing:
        event = phone.wait_for("IncomingMsg")
        moment = time.monotonic()
        text = phone.account.get_message_by_id(event["msgId"]).get_snapshot().text
        if text in missing:
            missing.remove(text)
            came[text] = moment
    return came


def _result(listener: "Future[dict[str, float]]") -> Iterator[tuple[str, float]]:
    yield from listener.result().items()


@contextmanager
def group(sandbox: Sandbox, members: int) -> Iterator[Group]:
    """A group of fresh accounts in a sandbox that runs, all on one core, one device each."""
    with (
        TemporaryDirectory(prefix="postern-core-") as directory,
        core(Path(directory) / "accounts") as manager,
    ):
        phones = log_in(
            manager, [fresh_login(sandbox.domain).link(sandbox.ports) for _ in range(members)]
        )
        for phone in phones:
            phone.account.set_config("mdns_enabled", "0")
            phone.account.set_config("bcc_self", "0")
        made = Group(phones)
        made.gather()
        yield made


def deferred(sandbox: Sandbox) -> int:
    """How many recipients Postfix had to defer so far."""
    return (sandbox.layout.logs / "postfix.log").read_text().count("status=deferred")
