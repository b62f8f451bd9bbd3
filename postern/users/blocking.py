"""Blocking an address, and letting it in again.

A blocked address has an empty `password` file: it can neither log in nor receive mail, and nobody
can create it again; existing relays mark it in the same way. Its hash is kept in
`password.blocked`, so that unblocking gives the same person the same account. Each change is one
rename: killed at any step, the account is either blocked or as it was, and its hash is never lost.

Everything here blocks; raises OSError where the disk fails.
"""

import contextlib
import os
from pathlib import Path

from relay.mailbox import drafts
from relay.mailbox.directory import PASSWORD, Mailbox
from relay.owner import Owner

KEPT = f"{PASSWORD}.blocked"


class NoHash(Exception):
    """The address was blocked by emptying its password file: there is nothing to restore."""


def block(mailbox: Mailbox, owner: Owner, day: int) -> bool:
    """Block an address, made or not. Return whether it was not blocked before.

    `day` (seconds since the epoch) is recorded as the last login of an address without an account.
    """
    if mailbox.is_blocked():
        return False
    _make_directory(mailbox.path, owner)
    with drafts.opened_directory(mailbox.path) as place:
        drafts.remove(KEPT, place=place)
        with contextlib.suppress(FileNotFoundError):
            # A second name for the same file, so that the day of its last login stays with it.
            os.link(PASSWORD, KEPT, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
            day = int(os.stat(KEPT, dir_fd=place, follow_symlinks=False).st_mtime)
        draft = drafts.open_draft(drafts.BLOCK_DRAFT, place=place)
        try:
            os.utime(draft, (day, day))
            owner.take(draft)
        finally:
            os.close(draft)
        os.rename(drafts.BLOCK_DRAFT, PASSWORD, src_dir_fd=place, dst_dir_fd=place)
        os.fsync(place)
    return True


def unblock(mailbox: Mailbox) -> bool:
    """Let a blocked address in again with its old password. Return whether it was blocked.

    Raises NoHash where the old one was not kept.
    """
    if not mailbox.is_blocked():
        return False
    with drafts.opened_directory(mailbox.path) as place:
        try:
            os.rename(KEPT, PASSWORD, src_dir_fd=place, dst_dir_fd=place)
        except FileNotFoundError:
            raise NoHash from None
        os.fsync(place)
    return True


def _make_directory(path: Path, owner: Owner) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        owner.take(path)
        drafts.sync_directory(path.parent)
