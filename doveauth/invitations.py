"""Invitations, and the logins that were handed out for them, in one SQLite file.

The operator's command makes and revokes invitations; doveauth redeems them. Of an invitation only a
digest is kept, half of it to find the row by and half to be compared in constant time: neither a
copy of the file nor the time of an answer tells one. A redeemed one leaves an admission, an
address with its password's digest, until that login has made the account, or a day at most. A
plain digest suffices for both, because both are 128 random bits or more.

A transaction is on disk before it is answered. Everything here blocks; what SQLite cannot do
raises OSError.
"""

import contextlib
import errno
import hashlib
import hmac
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relay.config import Config
from relay.owner import Owner

FILE = "invitations.sqlite"
ADMISSION_SECONDS = 86400
"""How long a login that was handed out may wait for its first use."""
BUSY_SECONDS = 5.0
"""How long one process waits for the other to end its transaction."""
_TOKEN_OCTETS = 24
_SCHEMA = """
CREATE TABLE IF NOT EXISTS invitations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    selector BLOB NOT NULL UNIQUE,
    verifier BLOB NOT NULL,
    label TEXT NOT NULL,
    uses INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    expires INTEGER
);
CREATE TABLE IF NOT EXISTS admissions (
    address TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What is known of one; the token itself is known only to whom it was given."""

    id: int
    label: str
    uses: int
    uses_left: int
    expires: int | None
    """Seconds since the epoch; None: never."""


class Invitations:
    """The file's content. May be used by several threads, one at a time."""

    def __init__(self, directory: Path, owner: Owner) -> None:
        self._path = directory / FILE
        self._owner = owner
        self._lock = threading.Lock()

    @classmethod
    def of(cls, config: Config, owner: Owner) -> "Invitations":
        """Those of a relay."""
        return cls(config.registration_state_dir, owner)

    def create(self, uses: int, expires: int | None, label: str) -> tuple[int, str]:
        """A new invitation: its id and its token, which is told this once."""
        token = secrets.token_urlsafe(_TOKEN_OCTETS)
        selector, verifier = _digests(token)
        with self._transaction() as database:
            made = database.execute(
                "INSERT INTO invitations (selector, verifier, label, uses, uses_left, expires)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (selector, verifier, label, uses, uses, expires),
            )
        assert made.lastrowid is not None
        return made.lastrowid, token

    def all(self) -> list[Invitation]:
        """Every invitation that was not revoked, used up and expired ones too."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT id, label, uses, uses_left, expires FROM invitations ORDER BY id"
            )
            return [Invitation(*row) for row in rows]

    def revoke(self, identity: int) -> bool:
        """Make an invitation worthless; whether there was one. Accounts made with it stay."""
        with self._transaction() as database:
            gone = database.execute("DELETE FROM invitations WHERE id = ?", (identity,))
            return gone.rowcount == 1

    def redeem(self, token: str, address: str, password: str, now: int) -> bool:
        """Use an invitation once, for this very login; whether it was good at `now`."""
        selector, verifier = _digests(token)
        with self._transaction() as database:
            row = database.execute(
                "SELECT id, verifier, uses_left, expires FROM invitations WHERE selector = ?",
                (selector,),
            ).fetchone()
            if row is None or not hmac.compare_digest(verifier, row[1]):
                return False
            if row[2] < 1 or (row[3] is not None and row[3] <= now):
                return False
            database.execute(
                "UPDATE invitations SET uses_left = uses_left - 1 WHERE id = ?", (row[0],)
            )
            database.execute("DELETE FROM admissions WHERE expires <= ?", (now,))
            database.execute(
                "INSERT OR REPLACE INTO admissions VALUES (?, ?, ?)",
                (address, _digest(password), now + ADMISSION_SECONDS),
            )
            return True

    def admits(self, address: str, password: str, now: int) -> bool:
        """Whether this login was handed out, and has not made its account yet."""
        with self._transaction() as database:
            row = database.execute(
                "SELECT digest FROM admissions WHERE address = ? AND expires > ?", (address, now)
            ).fetchone()
        return row is not None and hmac.compare_digest(row[0], _digest(password))

    def used(self, address: str) -> None:
        """Forget an admission: its account has been made."""
        with self._transaction() as database:
            database.execute("DELETE FROM admissions WHERE address = ?", (address,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction on a connection of its own: logins by invitation are few."""
        try:
            with self._lock, contextlib.closing(self._connect()) as database:
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the invitations cannot be used: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = not self._path.exists()
        database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            if fresh:
                self._path.chmod(0o600)
                # As root makes it, for the daemon. SQLite gives its journal the same owner.
                for path in (self._path.parent, self._path):
                    self._owner.take(path)
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(_SCHEMA)
        except BaseException:
            database.close()
            raise
        return database


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _digests(token: str) -> tuple[bytes, bytes]:
    digest = _digest(token)
    return digest[:16], digest[16:]
