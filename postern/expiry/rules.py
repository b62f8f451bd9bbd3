"""What is deleted, and when: the rules of expiry, without a disk or a clock.

Times are in seconds since the epoch, sizes in octets.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from relay.config import Config
from relay.mailbox.directory import FIRST_DAY

DAY = 86400
HOUR = 3600
LARGE = 200_000
"""Octets on disk from which a message is large, as in existing relays."""
QUOTA_HIGH, QUOTA_LOW = 0.75, 0.70
"""Shares of the quota: above the first a mailbox is trimmed, down to the second."""
PROTECTED = DAY
"""Seconds for which trimming leaves a message alone."""
STALE_DRAFT = DAY
"""Seconds after which a file or mailbox that a crash left incomplete is removed."""
STALE_TMP = 36 * HOUR
"""The same for a Maildir's tmp/, as the Maildir specification says."""

# The size that quota counts, which a compressed message's file does not have (Maildir++:
# "Maildir filename extensions"): Dovecot's quota "count" takes W, with CRLF, "maildir" takes S.
_SIZES = (",W=", ",S=")
_SIZE = re.compile(r"([0-9]{1,15})(?=[,:]|$)")
_FLAGS = re.compile(r":2,([A-Za-z]*)$")


class Message(NamedTuple):
    """A file in cur/ or new/ of a folder."""

    folder: str
    name: str
    mtime: int
    octets: int
    """On disk."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which times and sizes a configuration means at a moment."""

    now: int
    mails_before: int
    large_before: int
    login_before: int
    quota: int
    """Octets; 0 is no limit."""

    @classmethod
    def of(cls, config: Config, now: int) -> "Rules":
        """The rules of `config` at `now`."""
        return cls(
            now=now,
            mails_before=now - config.delete_mails_after * DAY,
            large_before=now - config.delete_large_after * DAY,
            login_before=now - config.delete_inactive_users_after * DAY,
            quota=config.max_mailbox_size,
        )

    def message_is_due(self, message: Message, *, seen: bool) -> bool:
        """Whether a message has been kept long enough; `seen`: it has been read."""
        if message.mtime < self.mails_before:
            return True
        return seen and message.octets > LARGE and message.mtime < self.large_before

    def mailbox_is_due(self, last_login: int) -> bool:
        """Whether nobody has logged in for long enough; `last_login` is the midnight of a day.

        All of that day counts as used. A day before FIRST_DAY means that the clock was not set when
        the account was made; the next login corrects it.
        """
        return last_login >= FIRST_DAY and last_login + DAY <= self.login_before


def is_seen(name: str) -> bool:
    """Whether a file in cur/ has the flag S."""
    found = _FLAGS.search(name)
    return found is not None and "S" in found[1]


def counted(name: str, octets: int) -> int:
    """What quota counts for a message: its own size, from its file's name."""
    for key in _SIZES:
        at = name.find(key)
        if at >= 0 and (found := _SIZE.match(name, at + len(key))):
            return int(found[1])
    return octets


def over_quota(total: int, quota: int) -> bool:
    """Whether a mailbox of `total` octets is to be trimmed."""
    return quota > 0 and total > quota * QUOTA_HIGH


def to_trim(messages: Iterable[Message], total: int, quota: int, now: int) -> Iterator[Message]:
    """The messages that go, oldest first, until at most `QUOTA_LOW` of the quota is used.

    `total` is what all of them count together. Messages of the last 24 hours always stay.
    """
    for message in sorted(messages, key=lambda each: (each.mtime, each.name)):
        if total <= quota * QUOTA_LOW or message.mtime > now - PROTECTED:
            return
        total -= counted(message.name, message.octets)
        yield message
