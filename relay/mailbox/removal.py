"""How a mailbox is removed: set aside first, where a login still brings it back, then for good.

`<address>` is renamed to `.expired.<address>~`, a name that no address can have, and stays there
for a while. A login or a delivery meanwhile finds nothing at the address, looks there, and moves it
back (`Mailbox.recover_and_read`, `Mailbox.record_login`). A mailbox that is still there afterwards
is renamed once more, to `.removing.…`, which nobody looks for, and deleted. A run that is
interrupted leaves one of these names behind, and the next one continues from there.

A delivery that asked for the mailbox's place before it was set aside makes the directory anew, for
its message. Such a directory has no `password`; it must not keep the account from coming back, so
its messages are moved over.

Everything here blocks. A symbolic link is never followed: it is deleted as a link.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

ASIDE_PREFIX, ASIDE_SUFFIX = ".expired.", "~"
REMOVING_PREFIX = ".removing."
_PASSWORD = "password"  # noqa: S105 - a file's name
_WITH_MAIL = ("cur", "new")


def aside_of(path: Path) -> Path:
    """Return where the mailbox at `path` waits before it is deleted."""
    return path.with_name(f"{ASIDE_PREFIX}{path.name}{ASIDE_SUFFIX}")


def set_aside(path: Path) -> bool:
    """Set a mailbox aside. Return whether it existed. Raises OSError if an older one is aside."""
    try:
        path.rename(aside_of(path))
    except FileNotFoundError:
        return False
    return True


def bring_back(path: Path) -> bool:
    """Move a mailbox that was set aside back to its place. Return whether one came back.

    Raises OSError where the disk does not do as asked.
    """
    aside = aside_of(path)
    if not os.path.lexists(aside):
        return False
    with _locked(path.parent):
        try:
            aside.rename(path)
        except (FileNotFoundError, NotADirectoryError):
            return False  # another process was faster, or a file of somebody else's is in the way
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return not os.path.lexists(path / _PASSWORD) and _exchange(aside, path)
    return True


def _exchange(aside: Path, path: Path) -> bool:
    """Bring a mailbox back where a delivery has made its directory anew."""
    _move_mail(path, aside)
    doomed = path.with_name(f"{REMOVING_PREFIX}{os.urandom(8).hex()}")
    path.rename(doomed)
    try:
        aside.rename(path)
    except OSError:
        doomed.rename(path)
        raise
    # What was delivered between the two.
    _move_mail(doomed, path)
    delete_tree(doomed)
    return True


def _move_mail(source: Path, target: Path) -> None:
    """Move the messages of a Maildir's own folder and of its subfolders into another Maildir."""
    with os.scandir(source) as entries:
        folders = [e.name for e in entries if e.name[0] == "." and e.is_dir(follow_symlinks=False)]
    for folder in ("", *folders):
        for name in _WITH_MAIL:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for message in (source / folder / name).iterdir():
                    _move(message, target / folder / name / message.name)


def _move(message: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Maildir's file names are unique.
    message.rename(target)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one thread of all processes exchange mailboxes at a time (flock(2))."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def original_of(aside: Path) -> Path:
    """Return where a mailbox that is aside was."""
    return aside.with_name(aside.name[len(ASIDE_PREFIX) : -len(ASIDE_SUFFIX)])


def remove(path: Path) -> bool:
    """Delete a mailbox, aside or not, at once and for good. Return whether it existed."""
    doomed = path.with_name(f"{REMOVING_PREFIX}{os.urandom(8).hex()}")
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
            import shutil  # here, because it brings three compression libraries into every daemon

            shutil.rmtree(doomed)
