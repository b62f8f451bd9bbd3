"""What is known of an address: nothing but what its mailbox' files tell."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metadata.tokens.tokenset import CorruptTokens, TokenSet
from postern.expiry.mailboxes import names
from postern.expiry.maildir import contents, files, opened
from postern.expiry.rules import counted
from relay.mailbox.directory import METADATA, Mailbox, Mailboxes


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of the list."""

    address: str
    state: str
    """`active`, `blocked`, `half-made` (no account), or `unreadable`."""
    last_login: str | None
    """A day, `2026-11-24`; None where there is no account, or it cannot be read."""


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


def summaries(mailboxes: Mailboxes) -> Iterator[Summary]:
    """Every mailbox, one by one, in no order; raises OSError where they cannot be listed."""
    for name in names(mailboxes.root, mailboxes.domain):
        try:
            yield summary(Mailbox(mailboxes.root / name))
        except OSError:
            yield Summary(name, "unreadable", None)


def summary(mailbox: Mailbox) -> Summary:
    """State and day of the last login; raises OSError.

    The hash is not read: who looks on needs no secret, and brings no mailbox back that expires.
    """
    login = mailbox.last_login()
    if login is None:
        return Summary(mailbox.path.name, "half-made", None)
    state = "blocked" if mailbox.is_blocked() else "active"
    return Summary(mailbox.path.name, state, time.strftime("%Y-%m-%d", time.gmtime(login)))


def details(mailbox: Mailbox, quota: int) -> Details:
    """All that can be told; raises OSError."""
    line = summary(mailbox)
    messages = storage = on_disk = 0
    for name, octets in _messages(mailbox.path):
        messages += 1
        storage += counted(name, octets)
        on_disk += octets
    return Details(
        line.address,
        line.state,
        line.last_login,
        messages,
        storage,
        on_disk,
        quota,
        _tokens(mailbox.path / METADATA),
    )


def _messages(path: Path) -> Iterator[tuple[str, int]]:
    with opened(str(path)) as mailbox:
        if mailbox is None:
            return
        for folder in contents(mailbox).folders:
            for part in ("cur", "new"):
                with opened(f"{folder}/{part}", mailbox) as directory:
                    if directory is not None:
                        yield from ((name, state.st_size) for name, state in files(directory))


def _tokens(path: Path) -> int:
    try:
        return len(TokenSet.parse(path.read_text(), _now()).valid(_now()))
    except (FileNotFoundError, CorruptTokens, UnicodeDecodeError):
        return 0


def _now() -> int:
    return int(time.time())
