"""Blocking an address, and letting it in again.

A blocked address has an empty `password` file: it can neither log in nor receive, and nobody can
make it anew; existing relays mark it in the same way. The hash waits in `password.blocked`, so
that unblocking gives the same person the same account. Each change is one rename: killed at any
step, the account is either blocked or as it was, and its hash is never lost.

Everything here blocks; raises OSError where the disk does not do as asked.
"""

import contextlib
import os
from pathlib import Path

from relay.mailbox.directory import PASSWORD, Mailbox
from relay.mailbox.drafts import sync_directory
from relay.owner import Owner

KEPT = f"{PASSWORD}.blocked"
_DRAFT = f".{PASSWORD}-block"


class NoHash(Exception):
    """The address was blocked by emptying its password file: there is nothing to bring back."""


def block(mailbox: Mailbox, owner: Owner, day: int) -> bool:
    """Block an address, made or not; whether it was not blocked before.

    `day` (seconds since the epoch) is what an address without an account gets for its last login.
    """
    if mailbox.is_blocked():
        return False
    _make_directory(mailbox.path, owner)
    kept, password = mailbox.path / KEPT, mailbox.path / PASSWORD
    with contextlib.suppress(FileNotFoundError):
        kept.unlink()
    with contextlib.suppress(FileNotFoundError):
        # A second name for the same file, so that the day of its last login stays with it.
        os.link(password, kept)
        day = int(kept.stat().st_mtime)
    draft = mailbox.path / _DRAFT
    draft.write_bytes(b"")
    os.utime(draft, (day, day))
    draft.chmod(0o600)
    owner.take(draft)
    draft.replace(password)
    sync_directory(mailbox.path)
    return True


def unblock(mailbox: Mailbox) -> bool:
    """Let a blocked address in again with its old password; whether it was blocked.

    Raises NoHash where the old one was not kept.
    """
    if not mailbox.is_blocked():
        return False
    try:
        (mailbox.path / KEPT).replace(mailbox.path / PASSWORD)
    except FileNotFoundError:
        raise NoHash from None
    sync_directory(mailbox.path)
    return True


def _make_directory(path: Path, owner: Owner) -> None:
    if not path.is_dir():
        path.mkdir(mode=0o700)
        owner.take(path)
        sync_directory(path.parent)
