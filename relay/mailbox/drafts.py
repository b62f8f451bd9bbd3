"""Files in directories that another user may write: temporary names, and safe ways to open.

Everything in a mailbox belongs to the user that Dovecot's processes run as. Whoever controls one of
those processes can put a link, a FIFO or a device where a file of ours is expected. Therefore:

1. A file of ours is opened here and nowhere else: links are never followed, and a reader takes
   regular files only, without blocking, up to a limit.
2. A file is written under a draft's name, made with O_EXCL, and then renamed into place.
3. Every draft's name is listed here, so that expiry recognises what a crash left behind.

O_NOFOLLOW protects the last part of a path only. A process that runs as root and does not trust the
mailbox's directory opens that with `opened_directory` and passes the descriptor on as `place`.
"""

import contextlib
import errno
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from relay.owner import Owner

BLOCK_DRAFT = ".password-block"
"""An empty password file, before it blocks an address."""
METADATA_DRAFT = "metadata.json.new"
"""The tokens of a mailbox, before they replace the earlier ones. No leading dot: in a Maildir that
would be the name of a folder."""
_PASSWORD_PREFIX = ".password-"  # noqa: S105 - a file's name
# The last form is that of existing relays, whose tempfile module chose the eight characters.
_DRAFT = re.compile(
    r"\.password-(?:[0-9]+-[0-9]+|block)|metadata\.json\.(?:new|[A-Za-z0-9_]{8})", re.ASCII
)
_PIECE = 1 << 16
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class NotRegular(OSError):
    """The name belongs to a link, a directory, a FIFO or a device; none of ours ever does."""

    def __init__(self) -> None:
        super().__init__(errno.ELOOP, "not a regular file")


class TooLarge(OSError):
    """The file has more octets than the reader takes."""

    def __init__(self) -> None:
        super().__init__(errno.EFBIG, "larger than any file of ours")


def is_draft(name: str) -> bool:
    """Return whether a file of that name is a draft, which only a crash leaves behind. Pure."""
    return _DRAFT.fullmatch(name) is not None


def password_draft() -> str:
    """Return the name that the calling thread gives a password file until it is complete."""
    return f"{_PASSWORD_PREFIX}{os.getpid()}-{threading.get_native_id()}"


@contextlib.contextmanager
def opened_directory(path: Path | str) -> Iterator[int]:
    """Hold a directory by a descriptor, for `place` below; raises OSError for a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_new(path: Path | str, mode: int = 0o600, *, place: int | None = None) -> int:
    """Make a file and return a descriptor to write to it.

    `path` is relative to the directory `place`, if given. Raises FileExistsError where anything
    has that name, a dangling link included.
    """
    return os.open(path, _CREATE, mode, dir_fd=place)


def open_draft(path: Path | str, *, place: int | None = None) -> int:
    """As `open_new`, after removing what a crash left under a draft's name."""
    remove(path, place=place)
    return open_new(path, place=place)


def open_or_make(path: Path | str) -> int:
    """Open a file to write to it, and make it unless it exists; raises OSError for a link."""
    flags = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o600)


def read_small(path: Path | str, limit: int, *, place: int | None = None) -> bytes:
    """Read a regular file of at most `limit` octets, without leaving a time of access.

    Never blocks on a FIFO and never follows a link. Raises FileNotFoundError, NotADirectoryError,
    NotRegular, TooLarge, and OSError where the disk fails.
    """
    descriptor = _open_to_read(path, place)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotRegular
        return _content(descriptor, limit)
    finally:
        os.close(descriptor)


def replace(name: str, draft: str, content: bytes, owner: Owner, *, place: int) -> None:
    """Replace the file `name` in the directory `place` by one with `content`, durably.

    The content is on the disk before the file has its name, and the name is before this returns.
    Raises OSError; then the earlier file is as it was.
    """
    try:
        descriptor = open_draft(draft, place=place)
        try:
            write_all(descriptor, content)
            owner.take(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(draft, name, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:
        remove(draft, place=place)
        raise
    os.fsync(place)


def remove(path: Path | str, *, place: int | None = None) -> None:
    """Unlink a file, and be content if there is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path, dir_fd=place)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`; a single write(2) may take a part of it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_directory(path: Path | str) -> None:
    """Make names that were made or renamed in a directory survive a power cut (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_to_read(path: Path | str, place: int | None) -> int:
    try:
        # The time of access would be a finer trace of a login than its day.
        return os.open(path, _READ | os.O_NOATIME, dir_fd=place)
    except PermissionError:
        # Only the file's owner may ask for that.
        return os.open(path, _READ, dir_fd=place)
    except OSError as error:
        # A link (ELOOP), or a socket or a device without its driver (ENXIO).
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotRegular from None
        raise


def _content(descriptor: int, limit: int) -> bytes:
    # Without a file object: this is read for every message and every login.
    content = piece = os.read(descriptor, min(limit + 1, _PIECE))
    while piece and len(content) <= limit:
        piece = os.read(descriptor, _PIECE)
        content += piece
    if len(content) > limit:
        raise TooLarge
    return content
