"""A mailbox's files, by descriptors: nothing outside of it can be reached through a link.

Each directory is opened without following a link, read by one scandir, and its files are looked at
and unlinked relative to it (openat(2), fstatat(2), unlinkat(2)). A file or folder that goes
meanwhile is no fault: deliveries, clients and logins go on.
"""

import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from postern.expiry.rules import Message

QUOTA_FILE = "maildirsize"
INBOX = "."
_PARTS = ("cur", "new")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_DIRECTORY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class opened:  # noqa: N801 - used as a function, like those of contextlib
    """A directory's descriptor; None where there is none of that name, or a link."""

    __slots__ = ("_descriptor", "_name", "_parent")

    def __init__(self, name: str, parent: int | None = None) -> None:
        self._name = name
        self._parent = parent

    def __enter__(self) -> int | None:
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(self._name, _DIRECTORY, dir_fd=self._parent)
        except OSError as error:
            if error.errno not in _NO_DIRECTORY:
                raise
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class Contents(NamedTuple):
    """What a mailbox' own directory holds."""

    folders: list[str]
    """INBOX and the Maildir++ folders (`.Name`)."""
    others: list[str]
    """Everything else, by name."""


def contents(mailbox: int) -> Contents:
    """What the directory of a mailbox holds, by one scan."""
    found = Contents([INBOX], [])
    with os.scandir(mailbox) as entries:
        for entry in entries:
            is_folder = entry.name[0] == "." and entry.is_dir(follow_symlinks=False)
            (found.folders if is_folder else found.others).append(entry.name)
    return found


def files(directory: int) -> Iterator[tuple[str, os.stat_result]]:
    """The regular files in a directory, each with its state."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(state.st_mode):
                yield entry.name, state


def message(folder: str, name: str, state: os.stat_result) -> Message:
    """What the rules want to know of a file."""
    return Message(folder, name, int(state.st_mtime), state.st_size)


def messages_in(mailbox: int) -> Iterator[Message]:
    """Every message of a mailbox, in no order."""
    for folder in contents(mailbox).folders:
        for part in _PARTS:
            path = part_of(folder, part)
            with opened(path, mailbox) as directory:
                if directory is not None:
                    yield from (message(path, *found) for found in files(directory))


def part_of(folder: str, part: str) -> str:
    """The path of a folder's `cur`, `new` or `tmp`, from the mailbox' own directory."""
    return part if folder == INBOX else os.path.join(folder, part)  # noqa: PTH118 - for openat


def unlink(name: str, directory: int) -> bool:
    """Delete a file. Return whether it was still there."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True
