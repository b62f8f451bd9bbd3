"""A Delta Chat core as a person's phone, with an end to every wait.

The core and its client are the `test` extra of this distribution, so only checks import this.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from deltachat_rpc_client import Account, DeltaChat, Rpc

from sandbox.threads import in_thread

SECONDS = 45.0
CLOSE_SECONDS = 10.0
DONE = 1000
"""The progress of a finished procedure."""

Event = dict[str, Any]


class Phone:
    """One account of a core. Waits raise TimeoutError."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._seen: list[Event] = []

    def wait_for(
        self, kind: str, fits: Callable[[Event], bool] = lambda _: True, seconds: float = SECONDS
    ) -> Event:
        """The next event of `kind` that fits; other events are forgotten."""
        queue = self.account._rpc.get_queue(self.account.id)
        deadline = time.monotonic() + seconds
        while True:
            try:
                event: Event = queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise TimeoutError(f"no {kind} within {seconds:g} s") from None
            if event["kind"] == kind and fits(event):
                return event

    def wait_for_text(self, text: str, seconds: float = SECONDS) -> Any:
        """The snapshot of the incoming message with `text`; a large file's size is added to it."""

        def reads(event: Event) -> bool:
            message = self.account.get_message_by_id(event["msgId"])
            return text in message.get_snapshot().text

        event = self.wait_for("IncomingMsg", reads, seconds)
        return self.account.get_message_by_id(event["msgId"]).get_snapshot()

    def wait_for_download(self, message_id: int, seconds: float = SECONDS) -> Any:
        """The snapshot of a message once its file is there; large ones follow their text."""
        deadline = time.monotonic() + seconds
        message = self.account.get_message_by_id(message_id)
        while not (snapshot := message.get_snapshot()).file or snapshot.download_state != "Done":
            if time.monotonic() > deadline:
                raise TimeoutError(f"still {snapshot.download_state} after {seconds:g} s")
            time.sleep(0.05)
        return snapshot

    def wait_for_state(self, message: Any, state: int, seconds: float = SECONDS) -> None:
        """Until a message that this phone sent is in `state` (MessageState)."""
        deadline = time.monotonic() + seconds
        while message.get_snapshot().state != state:
            if time.monotonic() > deadline:
                got = message.get_snapshot().state
                raise TimeoutError(f"message in state {got}, not {state}, after {seconds:g} s")
            time.sleep(0.05)

    def address(self) -> str:
        """Its mail address."""
        return str(self.account.get_config("configured_addr"))


@contextmanager
def core(directory: Path) -> Iterator[DeltaChat]:
    """A running core that keeps its accounts below `directory`."""
    # Beside the interpreter, which need not be on PATH.
    server = Path(sys.executable).with_name("deltachat-rpc-server")
    rpc = Rpc(accounts_dir=str(directory), rpc_server_path=str(server))
    rpc.start()
    try:
        yield DeltaChat(rpc)
    finally:
        try:
            in_thread(rpc.close).result(CLOSE_SECONDS)
        except TimeoutError:
            rpc.process.kill()
        rpc.process.wait()
        for pipe in (rpc.process.stdout, rpc.process.stderr):
            if pipe is not None:
                pipe.close()


def log_in(manager: DeltaChat, links: list[str]) -> list[Phone]:
    """Phones that have logged in by `dclogin:` links, all at the same time, and are online."""
    phones = [Phone(manager.add_account()) for _ in links]
    waiting = [
        phone.account.add_transport_from_qr.future(link)
        for phone, link in zip(phones, links, strict=True)
    ]
    for configured in waiting:
        configured()
    for phone in phones:
        phone.account.start_io()
    for phone in phones:
        manager.rpc.wait_for_all_work_done(phone.account.id)
    return phones


def join(inviter: Phone, joiner: Phone, seconds: float = SECONDS) -> None:
    """Securejoin: afterwards each has the other's verified key."""
    joiner.account.secure_join(inviter.account.get_qr_code())
    inviter.wait_for("SecurejoinInviterProgress", _is_done, seconds)
    joiner.wait_for("SecurejoinJoinerProgress", _is_done, seconds)


def _is_done(event: Event) -> bool:
    return bool(event["progress"] == DONE)
