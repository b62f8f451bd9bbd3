"""A mailbox's directory, in the on-disk form of existing chatmail relays.

`<mailboxes_dir>/<address>/` holds the Maildir and, beside it,

- `password`: the hash with its scheme, `{SHA512-CRYPT}$6$…`. Its mtime is the day of the last
  login, at midnight UTC; a mailbox without it, or with an empty one, is no account.
- `enforceE2EEincoming`: while it is there, cleartext for this address is refused.
- `metadata.json`: push tokens.

Everything here touches the disk and blocks: call it from a thread.
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from relay.address import Address
from relay.mailbox import drafts, removal
from relay.owner import Owner

PASSWORD = "password"  # noqa: S105 - a file's name
ENFORCE = "enforceE2EEincoming"
METADATA = "metadata.json"
MARK = ".postern"
"""A file in the directory of all mailboxes that says: the disk is mounted."""
MAX_HASH = 4096
"""Octets of a password file that are read; a hash has some hundred."""
DAY = 86400
"""Seconds; the grain of the last login."""
FIRST_DAY = 1_577_836_800
"""2020-01-01. An earlier time means that the clock has not been set, as on a machine without a
battery-backed clock that has just booted."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address's directory. Raises OSError where the disk does not do as asked."""

    path: Path

    def recover_and_read(self) -> str | None:
        """Return the stored hash with its scheme, None where there is no account.

        A mailbox that was set aside to be deleted is moved back to its place first: somebody asks
        for it (`relay.mailbox.removal`).
        """
        stored = self._read()
        if stored is None:
            removal.bring_back(self.path)
            # Also where it did not: another thread may have, since we looked.
            stored = self._read()
        return stored or None

    def _read(self) -> str | None:
        try:
            stored = drafts.read_small(f"{self.path}/{PASSWORD}", MAX_HASH)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return stored.decode("ascii").strip()

    def exists(self) -> bool:
        """Return whether the address has an account, set aside or not. It never writes."""
        places = (self.path, removal.aside_of(self.path))
        return any(_size(place / PASSWORD) for place in places)

    def is_blocked(self) -> bool:
        """Return whether an operator has blocked the address, by an empty password file."""
        try:
            return (self.path / PASSWORD).stat().st_size == 0
        except (FileNotFoundError, NotADirectoryError):
            return False

    def create(self, password_hash: str, owner: Owner, timestamp: int) -> str:
        """Make the account unless it exists. Return the hash that holds, this or an earlier one.

        `timestamp` is now, in seconds since the epoch; its day is kept, as that of a login.
        Raises BlockedMailbox where an operator has blocked the address.
        A crash at any step leaves a directory without `password`, which is no account and which
        the next login completes; of simultaneous creators exactly one wins at `link`.
        """
        self._make_directory(owner)
        draft = self.path / drafts.password_draft()
        try:
            self._write(draft, password_hash, owner, day_of(timestamp))
            try:
                # The link is the commit: it never replaces an existing file.
                os.link(draft, self.path / PASSWORD)
            except FileExistsError:
                password_hash = self._existing()
        finally:
            drafts.remove(draft)
        for directory in (self.path, self.path.parent):
            drafts.sync_directory(directory)
        return password_hash

    def _make_directory(self, owner: Owner) -> None:
        try:
            self.path.mkdir(0o700)
        except FileExistsError:
            if not self.path.is_dir():
                raise
        owner.take(self.path)
        mark = drafts.open_or_make(self.path / ENFORCE)
        try:
            owner.take(mark)
        finally:
            os.close(mark)

    @staticmethod
    def _write(draft: Path, password_hash: str, owner: Owner, day: int) -> None:
        """Write a password file that survives a power cut: an empty one would block."""
        descriptor = drafts.open_draft(draft)
        try:
            drafts.write_all(descriptor, password_hash.encode("ascii"))
            os.utime(descriptor, (day, day))
            owner.take(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _existing(self) -> str:
        stored = self.recover_and_read()
        if stored is None:
            # An empty password file is how an operator blocks an address.
            raise BlockedMailbox
        return stored

    def accepts_cleartext(self) -> bool:
        """Return whether the owner accepts cleartext; an address without an account does not."""
        return (self.path / PASSWORD).exists() and not (self.path / ENFORCE).exists()

    def record_login(self, timestamp: int) -> None:
        """Record the day of a login at `timestamp` (seconds since the epoch), nothing finer.

        An address without an account is left without one. If the clock has not been set, the
        earlier day stays.
        """
        day = day_of(timestamp)
        if day < FIRST_DAY and self.last_login() is not None:
            return
        if not self._note(day):
            # It may have been set aside between the login and this note of it.
            removal.bring_back(self.path)
            self._note(day)

    def _note(self, day: int) -> bool:
        try:
            if int((self.path / PASSWORD).stat().st_mtime) != day:
                os.utime(self.path / PASSWORD, (day, day))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def last_login(self) -> int | None:
        """Return the day of the last login: seconds since the epoch, at midnight UTC."""
        try:
            return int((self.path / PASSWORD).stat().st_mtime)
        except (FileNotFoundError, NotADirectoryError):
            return None


class NotMounted(OSError):
    """The mailboxes are not where they belong; `strerror` names the mend."""

    def __init__(self, mark: Path) -> None:
        super().__init__(
            errno.ENODEV,
            f"{mark} is missing: mount the disk of the mailboxes; if they are there, make that "
            "file, empty, and readable by mailboxes_user",
        )


class BlockedMailbox(Exception):
    """The address is blocked: its password file is there and empty."""


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """All mailboxes of one domain, in one directory."""

    root: Path
    domain: str

    def check_mounted(self) -> None:
        """Raise NotMounted where the mark that `prepare_root` made is missing.

        Without it a disk that is not mounted is a relay without users: mail would bounce, and
        anybody could make anybody's address anew.
        """
        try:
            (self.root / MARK).lstat()
        except (FileNotFoundError, NotADirectoryError):
            raise NotMounted(self.root / MARK) from None

    def of(self, address: Address) -> Mailbox | None:
        """Return the mailbox of an address, made or not; None for another domain.

        Raises InvalidAddress for a name that cannot be a directory.
        """
        if address.domain != self.domain:
            return None
        return Mailbox(self.root / address.mailbox_name())

    def names(self) -> list[str]:
        """Return the addresses that have an account, in any order.

        Half-made and blocked mailboxes are not accounts.
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


def prepare_root(root: Path, owner: Owner) -> None:
    """Make the directory of all mailboxes and its mark, for their owner alone; raises OSError.

    For whoever installs a relay, and for nothing that runs by itself: a daemon that made them would
    do so where a disk is not mounted. Existing ones are left as they are.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    if not root.is_dir():
        root.mkdir(mode=0o700)
        owner.take(root)
    if not (root / MARK).exists():
        descriptor = drafts.open_new(root / MARK)
        try:
            owner.take(descriptor)
        finally:
            os.close(descriptor)
    drafts.sync_directory(root)


def day_of(timestamp: int) -> int:
    """Return midnight UTC of the day of `timestamp`, both in seconds since the epoch."""
    return timestamp - timestamp % DAY


def _size(path: Path) -> int:
    """Octets of a file, 0 where it is not there."""
    try:
        return path.stat().st_size
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return 0
        raise
