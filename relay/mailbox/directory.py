"""A mailbox's directory, in the on-disk form of existing chatmail relays.

`<mailboxes_dir>/<address>/` holds the Maildir and, beside it,

- `password`: the hash with its scheme, `{SHA512-CRYPT}$6$…`. Its mtime is the day of the last
  login, at midnight UTC; a mailbox without it, or with an empty one, is no account.
- `enforceE2EEincoming`: while it is there, cleartext for this address is refused.
- `metadata.json`: push tokens.

Everything here touches the disk and blocks: call it from a thread.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay import athand
from relay.address import Address
from relay.mailbox import removal
from relay.owner import Owner

PASSWORD = "password"  # noqa: S105 - a file's name
ENFORCE = "enforceE2EEincoming"
METADATA = "metadata.json"
MAX_HASH = 4096
"""Octets of a password file that are read; a hash has some hundred."""
DAY = 86400
"""Seconds; the grain of the last login."""
FIRST_DAY = 1_577_836_800
"""2020-01-01: a clock that is before it has not been set yet, as on a machine that has none of its
own and has just booted."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address's directory. Raises OSError where the disk does not do as asked."""

    path: Path

    def password_hash(self) -> str | None:
        """The stored hash with its scheme, None where there is no account.

        A mailbox that was put aside to be deleted is brought back: somebody asks for it.
        """
        stored = _read(f"{self.path}/{PASSWORD}")
        if stored is None and removal.bring_back(self.path):
            stored = _read(f"{self.path}/{PASSWORD}")
        return stored or None

    def hash_at_hand(self) -> str | None:
        """The stored hash where it can be told without waiting; None tells nothing.

        Raises FileNotFoundError where it can be told that there is no password file here.
        Alone of all that is here it may be asked in an event loop, where `relay.athand` is usable.
        """
        stored = athand.read(f"{self.path}/{PASSWORD}", MAX_HASH)
        return stored.decode("ascii").strip() or None if stored else None

    def is_blocked(self) -> bool:
        """Whether an operator has blocked the address, by an empty password file."""
        try:
            return (self.path / PASSWORD).stat().st_size == 0
        except (FileNotFoundError, NotADirectoryError):
            return False

    def create(self, password_hash: str, owner: Owner, timestamp: int) -> str:
        """Make the account unless it is there; the hash that holds, ours or an earlier one.

        `timestamp` is now, in seconds since the epoch; its day is kept, as that of a login.
        Raises BlockedMailbox where an operator has blocked the address.
        A crash at any step leaves a directory without `password`, which is no account and which
        the next login completes; of simultaneous creators exactly one wins at `link`.
        """
        (held,) = create_all([(self, password_hash)], owner, timestamp)
        if isinstance(held, Exception):
            raise held
        return held

    def accepts_cleartext(self) -> bool:
        """Whether the owner takes unencrypted mail too; a mailbox that is not there does not."""
        return (self.path / PASSWORD).exists() and not (self.path / ENFORCE).exists()

    def record_login(self, timestamp: int) -> None:
        """Note the day of a login at `timestamp` (seconds since the epoch), nothing finer.

        An address without an account is left without one. By a clock that has not been set, the
        day of before stays.
        """
        day = day_of(timestamp)
        if day < FIRST_DAY and self.last_login() is not None:
            return
        # Once more where it was put aside between the login and this note of it.
        while not self._note(day):
            if not removal.bring_back(self.path):
                return

    def _note(self, day: int) -> bool:
        try:
            if int((self.path / PASSWORD).stat().st_mtime) != day:
                os.utime(self.path / PASSWORD, (day, day))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def last_login(self) -> int | None:
        """The day of the last login (seconds since the epoch, at midnight UTC)."""
        try:
            return int((self.path / PASSWORD).stat().st_mtime)
        except (FileNotFoundError, NotADirectoryError):
            return None


class BlockedMailbox(Exception):  # noqa: N818 - a state of the mailbox that the caller asks for
    """The address is blocked: its password file is there and empty."""


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """All mailboxes of one domain, in one directory."""

    root: Path
    domain: str

    def of(self, address: Address) -> Mailbox | None:
        """The mailbox of an address, made or not; None where the domain is another's.

        Raises InvalidAddress for a name that cannot be a directory.
        """
        if address.domain != self.domain:
            return None
        return Mailbox(self.root / address.mailbox_name())

    def names(self) -> list[str]:
        """The addresses that have an account, in no order.

        Half-made mailboxes and blocked ones are none.
        """
        suffix = f"@{self.domain}"
        try:
            with os.scandir(self.root) as entries:
                return [
                    entry.name
                    for entry in entries
                    if entry.name.endswith(suffix) and _size(Path(entry.path, PASSWORD))
                ]
        except FileNotFoundError:
            return []


def create_all(
    accounts: Sequence[tuple[Mailbox, str]], owner: Owner, timestamp: int
) -> list[str | Exception]:
    """Make many accounts at once; for each what `Mailbox.create` returns or raises.

    Each step is taken for all before the next one, so that most of what each waits for on the disk
    has been done with what the first waited for. All are different mailboxes of one directory.
    """
    day = day_of(timestamp)
    drafts = [_Draft(mailbox, password_hash) for mailbox, password_hash in accounts]
    for draft in drafts:
        draft.take(lambda each: each.write(owner, day))
    if len(drafts) > 1:
        # Where the disk has a journal, all their blocks are in the one commit of it that the first
        # is waited for.
        for draft in drafts:
            draft.take(_Draft.begin_sync)
    for step in (_Draft.sync, _Draft.offer, _Draft.sync_name):
        for draft in drafts:
            draft.take(step)
    # Once for all; where it fails, it has failed for each.
    sync_directory(accounts[0][0].path.parent)
    return [draft.held for draft in drafts]


class _Draft:
    """An account that is being made: a mailbox whose password file has another name yet."""

    def __init__(self, mailbox: Mailbox, password_hash: str) -> None:
        self.held: str | Exception = password_hash
        """The hash that holds in the end, or why there is none."""
        self._mailbox = mailbox
        self._hash = password_hash
        self._place = str(mailbox.path)
        # A name of this thread's own; one that a crash left behind is written over.
        self._name = f"{self._place}/.{PASSWORD}-{os.getpid()}-{threading.get_native_id()}"
        self._descriptor = -1

    def take(self, step: "Callable[[_Draft], None]") -> None:
        """Take a step unless one before has failed."""
        if isinstance(self.held, Exception):
            return
        try:
            step(self)
        except (OSError, BlockedMailbox) as error:
            self.held = error
            self._drop()

    def write(self, owner: Owner, day: int) -> None:
        """Make everything but the password file itself."""
        try:
            os.mkdir(self._place, 0o700)  # noqa: PTH102 - a Path costs as much as the call
        except FileExistsError:
            if not self._mailbox.path.is_dir():
                raise
        owner.take(self._place)
        # A link there is refused: what it names is not ours to make.
        mark = os.open(f"{self._place}/{ENFORCE}", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            owner.take(mark)
        finally:
            os.close(mark)
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW
        self._descriptor = os.open(self._name, flags, 0o600)
        os.write(self._descriptor, self._hash.encode("ascii"))
        os.utime(self._descriptor, (day, day))
        owner.take(self._descriptor)

    def begin_sync(self) -> None:
        """Have the disk begin to write, without waiting (posix_fadvise(2), notes)."""
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Wait until the hash survives a power cut: an empty password file would block."""
        os.fsync(self._descriptor)
        self._close()

    def offer(self) -> None:
        """Put the draft in its place, unless there is a password file."""
        try:
            # The link is the commit: it never replaces what is there.
            os.link(self._name, f"{self._place}/{PASSWORD}")
        except FileExistsError:
            stored = self._mailbox.password_hash()
            if stored is None:
                # An empty password file is how an operator blocks an address.
                raise BlockedMailbox from None
            self.held = stored
        os.unlink(self._name)  # noqa: PTH108 - as above

    def sync_name(self) -> None:
        """Wait until the account survives a power cut."""
        sync_directory(self._place)

    def _drop(self) -> None:
        if self._descriptor >= 0:
            self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._name)  # noqa: PTH108 - as above

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


def day_of(timestamp: int) -> int:
    """Midnight UTC of the day of `timestamp`, both in seconds since the epoch."""
    return timestamp - timestamp % DAY


def _read(path: str) -> str | None:
    # Not by a file object: each system call of a thread costs it the interpreter's lock.
    try:
        descriptor = _open(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return os.read(descriptor, MAX_HASH).decode("ascii").strip()
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        # The time of the reading would be a finer trace of a login than its day.
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        # Only its owner may ask for that.
        return os.open(path, flags)


def _size(path: Path) -> int:
    """Octets of a file, 0 where it is not there."""
    try:
        return path.stat().st_size
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return 0
        raise


def sync_directory(path: Path | str) -> None:
    """Make names that were made or renamed in a directory survive a power cut (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
