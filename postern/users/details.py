"""What is known about an address: only what the files of its mailbox say."""

import time
from dataclasses import dataclass

from metadata.tokens.tokenset import CorruptTokens, TokenSet
from postern.expiry.mailboxes import names
from postern.expiry.maildir import messages_in, opened
from postern.expiry.rules import counted
from postern.users.blocking import KEPT
from relay.mailbox import drafts
from relay.mailbox.directory import METADATA, Mailbox, Mailboxes

MAX_TOKENS_OCTETS = 1 << 20
"""Of a file of tokens that is read, as in the metadata service."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of the list."""

    address: str
    state: str
    """`active`, `blocked`, `half-made` (no account), or `unreadable`."""
    last_login: str | None
    """A day, `2026-11-24`; None if there is no account, or if it cannot be read."""


@dataclass(frozen=True, slots=True)
class Details:
    """One address. Sizes in octets."""

    address: str
    state: str
    last_login: str | None
    messages: int
    storage: int
    """As quota counts it."""
    on_disk: int
    quota: int
    tokens: int
    """Devices that push wakes."""


def summaries(mailboxes: Mailboxes) -> list[Summary]:
    """Every mailbox, sorted by address; raises OSError if they cannot be listed."""
    return [_readable(mailboxes, name) for name in sorted(names(mailboxes.root, mailboxes.domain))]


def _readable(mailboxes: Mailboxes, name: str) -> Summary:
    try:
        return summary(Mailbox(mailboxes.root / name))
    except OSError:
        return Summary(name, "unreadable", None)


def summary(mailbox: Mailbox) -> Summary:
    """State and day of the last login; raises OSError.

    The hash is not read: no secret is needed here, and no mailbox that is about to expire is
    brought back.
    """
    name, login = mailbox.path.name, mailbox.last_login()
    if login is None:
        return Summary(name, "half-made", None)
    day = time.strftime("%Y-%m-%d", time.gmtime(login))
    if not mailbox.is_blocked():
        return Summary(name, "active", day)
    # An address that was blocked before anybody had it has no password, and no last login.
    return Summary(name, "blocked", day if (mailbox.path / KEPT).exists() else None)


def details(mailbox: Mailbox, quota: int) -> Details:
    """All that is known; raises OSError."""
    line = summary(mailbox)
    messages = storage = on_disk = tokens = 0
    with opened(str(mailbox.path)) as directory:
        if directory is not None:
            for each in messages_in(directory):
                messages += 1
                storage += counted(each.name, each.octets)
                on_disk += each.octets
            tokens = _tokens(directory)
    return Details(
        line.address, line.state, line.last_login, messages, storage, on_disk, quota, tokens
    )


def _tokens(mailbox: int) -> int:
    now = int(time.time())
    try:
        text = drafts.read_small(METADATA, MAX_TOKENS_OCTETS, place=mailbox).decode()
        return len(TokenSet.parse(text, now).valid(now))
    except (FileNotFoundError, drafts.NotRegular, drafts.TooLarge, CorruptTokens, UnicodeError):
        return 0
