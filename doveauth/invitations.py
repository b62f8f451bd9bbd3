"""Invitations, and the logins that were handed out for them, in one SQLite file.

The operator's command makes and revokes invitations; doveauth redeems them. Of an invitation only a
digest is kept, half of it to find the row by and half to be compared in constant time: neither a
copy of the file nor the time of an answer tells one. A redeemed one leaves an admission, an
address with its password's digest, until that login has made the account, or a day at most. A
plain digest suffices for both, because both are 128 random bits or more.

A transaction is on disk before it is answered. `Invitations` blocks; `InvitationAdmissions` asks it
in a thread.
"""

import asyncio
import contextlib
import errno
import hashlib
import hmac
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Protocol, TypeVar

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


T = TypeVar("T")


class InvitationsUnusable(OSError):
    """SQLite cannot do as asked; `strerror` says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(errno.EIO, f"the invitations cannot be used: {error}")


class Redemption(Enum):
    """What became of an attempt to use an invitation."""

    GRANTED = auto()
    INVALID = auto()
    """The invitation is unknown, used up or expired."""
    PROMISED = auto()
    """The invitation is good, but somebody else was promised the address; no use was spent."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What is known of an invitation; only its recipient knows the token."""

    id: int
    label: str
    uses: int
    uses_left: int
    expires: int | None
    """Seconds since the epoch; None: never."""


class Invitations:
    """The file's content. Safe to use from several threads. Methods raise InvitationsUnusable."""

    def __init__(self, directory: Path, owner: Owner) -> None:
        self._path = directory / FILE
        self._owner = owner
        self._lock = threading.Lock()

    @classmethod
    def of(cls, config: Config, owner: Owner) -> "Invitations":
        """Those of a relay."""
        return cls(config.registration_state_dir, owner)

    def create(self, uses: int, expires: int | None, label: str) -> tuple[int, str]:
        """Make an invitation. Return its id and its token, which nothing can show again."""
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
        """Return every invitation that was not revoked, including used up and expired ones."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT id, label, uses, uses_left, expires FROM invitations ORDER BY id"
            )
            return [Invitation(*row) for row in rows]

    def revoke(self, identity: int) -> bool:
        """Make an invitation worthless, and return whether it existed. Its accounts stay."""
        with self._transaction() as database:
            gone = database.execute("DELETE FROM invitations WHERE id = ?", (identity,))
            return gone.rowcount == 1

    def redeem(self, token: str, address: str, password: str, now: int) -> Redemption:
        """Use an invitation once at `now`, and promise its user this address with this password."""
        selector, verifier = _digests(token)
        with self._transaction() as database:
            row = database.execute(
                "SELECT id, verifier, uses_left, expires FROM invitations WHERE selector = ?",
                (selector,),
            ).fetchone()
            if row is None or not hmac.compare_digest(verifier, row[1]):
                return Redemption.INVALID
            if row[2] < 1 or (row[3] is not None and row[3] <= now):
                return Redemption.INVALID
            database.execute("DELETE FROM admissions WHERE expires <= ?", (now,))
            promised = database.execute(
                "INSERT OR IGNORE INTO admissions VALUES (?, ?, ?)",
                (address, _digest(password), now + ADMISSION_SECONDS),
            )
            if promised.rowcount == 0:
                return Redemption.PROMISED
            database.execute(
                "UPDATE invitations SET uses_left = uses_left - 1 WHERE id = ?", (row[0],)
            )
            return Redemption.GRANTED

    def admits(self, address: str, password: str, now: int) -> bool:
        """Return whether this login was promised an account that was not made yet."""
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
            raise InvitationsUnusable(error) from None
        except OSError as error:
            raise InvitationsUnusable(OSError(error.errno, error.strerror)) from None

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


class Admissions(Protocol):
    """Invitations as the daemon uses them. Every method raises InvitationsUnusable."""

    async def redeem(self, token: str, address: str, password: str) -> Redemption:
        """Use an invitation once, durably, and promise its user this login."""

    async def admits(self, address: str, password: str) -> bool:
        """Return whether this login was promised an account that was not made yet."""

    async def used(self, address: str) -> None:
        """Forget a promise whose account has been made."""


class InvitationAdmissions:
    """`Admissions` from the file, in a thread."""

    def __init__(self, invitations: Invitations, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns seconds since the epoch."""
        self._invitations = invitations
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "invitations")

    async def redeem(self, token: str, address: str, password: str) -> Redemption:
        """Use an invitation once, durably, and promise its user this login."""
        now = int(self._clock())
        return await self._run(lambda: self._invitations.redeem(token, address, password, now))

    async def admits(self, address: str, password: str) -> bool:
        """Return whether this login was promised an account that was not made yet."""
        now = int(self._clock())
        return await self._run(lambda: self._invitations.admits(address, password, now))

    async def used(self, address: str) -> None:
        """Forget a promise whose account has been made."""
        await self._run(lambda: self._invitations.used(address))

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _digests(token: str) -> tuple[bytes, bytes]:
    digest = _digest(token)
    return digest[:16], digest[16:]
