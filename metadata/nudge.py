"""Wakes IMAP sessions for a message that Dovecot would not show them.

An IMAP process in IDLE sees a new message at once but waits 500 ms before it tells its client
(Dovecot: NOTIFY_DELAY_MSECS). If it hibernates in that time, which is to say when a message comes
in the last half second before `imap_hibernate_timeout`, it forgets that it was about to, and the
hibernated session waits for the next change: measured with 2.3.19, the message then shows only
when the client asks by itself, minutes later. So a moment after each delivery something changes
in `new/`: a dot file comes and goes, which is no message (maildir(5)). A session that hibernates
by then wakes up and looks; one that does not has told its client already.

The dot file is a second name of a file that is there: a new file would be an inode that is
allocated, journalled and freed for each message, at twenty times the cost.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from relay.address import Address, InvalidAddress
from relay.mailbox.directory import ENFORCE, Mailboxes

log = logging.getLogger(__name__)

NUDGE_SECONDS = 0.7
"""After a delivery: Dovecot's half second, and time for a session to have gone to hibernation."""
_GRAIN = 0.02
"""Seconds: mailboxes that are due within them are nudged together."""
_NAME = ".nudge"


class Nudger:
    """Nudges mailboxes, each at most once in NUDGE_SECONDS and at least once after each message."""

    def __init__(self, mailboxes: Mailboxes, seconds: float = NUDGE_SECONDS) -> None:
        self._mailboxes = mailboxes
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, "nudge")
        # Addresses with a nudge to come, and whether a message came since it was set.
        self._pending: dict[str, bool] = {}
        self._order: deque[tuple[float, str]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def soon(self, user: str) -> None:
        """A message has been delivered to `user`: nudge the mailbox in a moment."""
        if user in self._pending:
            self._pending[user] = True
            return
        loop = asyncio.get_running_loop()
        self._set(user, loop.time())
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._due)

    def close(self) -> None:
        """End the thread; nudges that are not due yet are left out."""
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown()

    def _set(self, user: str, now: float) -> None:
        self._pending[user] = False
        self._order.append((now + self._seconds, user))

    def _due(self) -> None:
        loop = asyncio.get_running_loop()
        now, users = loop.time(), []
        while self._order and self._order[0][0] < now + _GRAIN:
            _, user = self._order.popleft()
            users.append(user)
            if self._pending.pop(user):
                self._set(user, now)
        self._thread.submit(_nudge, self._mailboxes, users)
        self._timer = None
        if self._order:
            self._timer = loop.call_at(self._order[0][0], self._due)


def _nudge(mailboxes: Mailboxes, users: Sequence[str]) -> None:
    for user in users:
        try:
            mailbox = mailboxes.of(Address.parse(user))
            if mailbox is not None:
                _change(f"{mailbox.path}/{ENFORCE}", f"{mailbox.path}/new/{_NAME}")
        except InvalidAddress:
            continue  # Dovecot has no such user
        except OSError as error:
            log.debug("a mailbox could not be nudged: %s", error.strerror)


def _change(there: str, name: str) -> None:
    """Make and remove `name`, as a link to `there` if possible."""
    try:
        # A leftover from a crash; the unlink below removes it.
        with contextlib.suppress(FileExistsError):
            os.link(there, name)
    except FileNotFoundError:
        # The owner takes cleartext too, so that the marker is gone.
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    os.unlink(name)  # noqa: PTH108 - as the others
