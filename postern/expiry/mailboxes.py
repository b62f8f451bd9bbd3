"""Whole mailboxes: which ones are deleted, and how.

Deletion takes three steps, so that no login is lost (`relay.mailbox.removal`):

1. An inactive or half-made mailbox is set aside.
2. It stays aside for at least `GRACE_SECONDS`, during which a login or a delivery brings it back.
3. If it is still aside and still due, it is deleted (`settle`).

A run begins with step 3, for what an interrupted run left behind.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from postern.expiry.maildir import opened
from postern.expiry.messages import OpenMailbox
from postern.expiry.rules import STALE_DRAFT, Rules
from postern.expiry.tally import Tally
from relay.mailbox import removal
from relay.mailbox.directory import PASSWORD, day_of

BLOCKED = -1
"""In place of a day: the address is blocked, and stays so until the operator unblocks it."""
GRACE_SECONDS = 5.0
"""Longer than any login takes from checking its password to recording its day."""


def expire_mailbox(path: Path, rules: Rules, *, act: bool) -> Tally:
    """Expire one mailbox' messages, or set all of it aside; raises OSError."""
    with opened(str(path)) as descriptor:
        if descriptor is None:
            return Tally(skipped=1)
        login = last_login(descriptor)
        if login == BLOCKED:
            due = False
        elif login is None:
            due = os.fstat(descriptor).st_mtime < rules.now - STALE_DRAFT
        else:
            due = rules.mailbox_is_due(login)
        if not due:
            return OpenMailbox(descriptor, rules, act=act).expire()
    tally = Tally(mailboxes=1)
    if not act or removal.set_aside(path):
        tally.mailboxes_removed += login is not None
        tally.half_made_removed += login is None
    return tally


def settle(root: Path, rules: Rules) -> int:
    """Delete what is aside and still due, bring back the rest. Return how many were deleted."""
    deleted = 0
    for path in leftovers(root):
        if path.name.startswith(removal.REMOVING_PREFIX):
            removal.delete_tree(path)
            continue
        with opened(str(path)) as descriptor:
            login = None if descriptor is None else last_login(descriptor)
        if login == BLOCKED or (login is not None and not rules.mailbox_is_due(login)):
            removal.bring_back(removal.original_of(path))
            continue
        deleted += removal.remove(path)
    return deleted


def leftovers(root: Path) -> Iterator[Path]:
    """Mailboxes on their way to deletion."""
    with os.scandir(root) as entries:
        for entry in entries:
            aside = entry.name.startswith(removal.ASIDE_PREFIX) and entry.name.endswith(
                removal.ASIDE_SUFFIX
            )
            if aside or entry.name.startswith(removal.REMOVING_PREFIX):
                yield Path(entry.path)


def names(root: Path, domain: str) -> Iterator[str]:
    """The mailboxes' names, made or half-made, one by one; links are left out."""
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.endswith(f"@{domain}") and entry.is_dir(follow_symlinks=False):
                yield entry.name


def last_login(mailbox: int) -> int | None:
    """The day of the last login, or BLOCKED; None where there is no account."""
    try:
        state = os.stat(PASSWORD, dir_fd=mailbox, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(state.st_mode):
        return None
    return day_of(int(state.st_mtime)) if state.st_size else BLOCKED
