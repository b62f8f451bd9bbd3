"""How a mailbox goes: aside first, where a login still brings it back, then for good.

`<address>` is renamed to `.expired.<address>~`, a name that no address can have, and stays there
for a while. A login or a delivery in that while finds nothing at the address, looks there, and
puts it back (`Mailbox.password_hash`, `Mailbox.record_login`). What is still there afterwards is
renamed once more, to `.removing.…`, which nobody looks for, and deleted. A run that is interrupted
leaves one of these names behind, and the next one goes on from there.

Everything here blocks. A symbolic link is never followed: it is deleted as a link.
"""

import contextlib
import secrets
import shutil
from pathlib import Path

ASIDE_PREFIX, ASIDE_SUFFIX = ".expired.", "~"
REMOVING_PREFIX = ".removing."


def aside_of(path: Path) -> Path:
    """Where the mailbox at `path` is put before it is deleted."""
    return path.with_name(f"{ASIDE_PREFIX}{path.name}{ASIDE_SUFFIX}")


def set_aside(path: Path) -> bool:
    """Put a mailbox aside; whether it was there. Raises OSError where an older one is aside."""
    try:
        path.rename(aside_of(path))
    except FileNotFoundError:
        return False
    return True


def bring_back(path: Path) -> bool:
    """Put a mailbox that was set aside back in its place; whether there was one, and room."""
    try:
        aside_of(path).rename(path)
    except OSError:
        # Not aside, or made anew meanwhile: a directory never replaces one that is not empty.
        return False
    return True


def original_of(aside: Path) -> Path:
    """Where a mailbox that was set aside had been."""
    return aside.with_name(aside.name[len(ASIDE_PREFIX) : -len(ASIDE_SUFFIX)])


def remove(path: Path) -> bool:
    """Delete a mailbox, aside or not, at once and for good; whether it was there."""
    doomed = path.with_name(f"{REMOVING_PREFIX}{secrets.token_hex(8)}")
    try:
        path.rename(doomed)
    except FileNotFoundError:
        return False
    delete_tree(doomed)
    return True


def delete_tree(doomed: Path) -> None:
    """Delete a directory and all below it; raises OSError. One that is gone is no fault."""
    # rmtree works by descriptors on Linux and refuses a link.
    with contextlib.suppress(FileNotFoundError):
        if doomed.is_symlink() or not doomed.is_dir():
            doomed.unlink()
        else:
            shutil.rmtree(doomed)
