"""Tells IMAP sessions of a message that Dovecot would keep from them.

An IMAP process in IDLE sees a new message at once but waits 500 ms before it tells its client
(Dovecot: NOTIFY_DELAY_MSECS). If it hibernates in that time, which is to say when a message comes
in the last half second before `imap_hibernate_timeout`, it forgets that it was about to, and the
hibernated session waits for the next change: measured with 2.3.19, the message then shows only
when the client asks by itself, minutes later. So a moment after each delivery something changes
in `new/`: a dot file comes and goes, which is no message (maildir(5)). A session that hibernates
by then wakes up and looks; one that does not has told its client already.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from relay.address import Address, InvalidAddress
from relay.mailbox import Mailboxes

log = logging.getLogger(__name__)

NUDGE_SECONDS = 0.7
"""After a delivery: Dovecot's half second, and time for a session to have gone to hibernation."""
_NAME = ".nudge"
_THREADS = 2


class Nudger:
    """Nudges mailboxes, each at most once in NUDGE_SECONDS and at least once after each message."""

    def __init__(self, mailboxes: Mailboxes, seconds: float = NUDGE_SECONDS) -> None:
        self._mailboxes = mailboxes
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(_THREADS, "nudge")
        # Whose nudge is to come, and whether a message came since it was set.
        self._pending: dict[str, bool] = {}

    def soon(self, user: str) -> None:
        """A message has been delivered to `user`: nudge the mailbox in a moment."""
        if user in self._pending:
            self._pending[user] = True
        else:
            self._set(user)

    def close(self) -> None:
        """End the threads; what was to come is left out."""
        self._pending.clear()
        self._threads.shutdown()

    def _set(self, user: str) -> None:
        self._pending[user] = False
        asyncio.get_running_loop().call_later(self._seconds, self._due, user)

    def _due(self, user: str) -> None:
        again = self._pending.pop(user, None)
        if again is None:
            return  # closed meanwhile
        if again:
            self._set(user)
        self._threads.submit(_nudge, self._mailboxes, user)


def _nudge(mailboxes: Mailboxes, user: str) -> None:
    try:
        mailbox = mailboxes.of(Address.parse(user))
        if mailbox is not None:
            _touch(mailbox.path / "new" / _NAME)
    except InvalidAddress:
        return  # Dovecot has no such user
    except OSError as error:
        log.debug("a mailbox could not be nudged: %s", error.strerror)


def _touch(path: Path) -> None:
    path.touch(mode=0o600)
    path.unlink(missing_ok=True)
