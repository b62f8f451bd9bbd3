"""What Dovecot's push-notification Lua reports: that a message was delivered.

This has a socket of its own, which no IMAP process may open. On METADATA's socket any client could
announce messages, to itself and as many as it likes, by `SETMETADATA INBOX
(/private/messagenew …)`.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from metadata import dictkeys
from metadata.dictkeys import Private
from metadata.handler import failures
from metadata.push.protocol import PushQueue
from metadata.tokens.protocol import TokenStore
from relay.dovecot.dictproto import Change
from relay.dovecot.dictserver import DictFailure


class DeliveryHandler:
    """A DictHandler whose one change is a delivery: it owes pushes and nudges IMAP sessions."""

    def __init__(
        self,
        tokens: TokenStore,
        queue: PushQueue,
        wake: Callable[[], None],
        nudge: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`wake` is called once pushes are owed, `nudge` with the address of each message."""
        self._tokens = tokens
        self._queue = queue
        self._wake = wake
        self._nudge = nudge
        self._clock = clock

    async def lookup(self, key: str, user: str) -> str | None:  # noqa: ARG002 - a DictHandler
        """There is nothing to be read here."""
        return None

    async def iterate(self, path: str, user: str) -> Iterable[tuple[str, str]]:  # noqa: ARG002
        """As `lookup`."""
        return ()

    async def commit(self, user: str, changes: Sequence[Change]) -> None:
        """Take note of a delivery, durably; raises DictFailure."""
        reported = {dictkeys.parse(change.key) for change in changes}
        if not reported <= {Private.MESSAGE_NEW, Private.MESSAGE_OWN}:
            raise DictFailure("only deliveries are reported here")
        self._nudge(user)
        if Private.MESSAGE_NEW in reported:
            await self.owe_pushes(user)

    async def owe_pushes(self, user: str) -> None:
        """Owe pushes for a message to `user`, durably; raises DictFailure."""
        now = self._clock()
        with failures():
            tokens = await self._tokens.valid(user, int(now))
        if tokens:
            await self._queue.owe(user, tokens, now)
            self._wake()
