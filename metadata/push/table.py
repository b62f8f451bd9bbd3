"""The queue's table: SQL over one SQLite connection, synchronous, used from one thread.

A row is one push that is owed: an address, one of its tokens, when it is due. A message that
comes while its token's push is still owed changes that row instead of adding one, and raises its
`version`, so that a push that was on its way at that moment does not count for the new message.

Rows that are due at once have 0 for `due`; only those that wait for a moment have a time there. So
each has an index of its own, and finding the newest among a hundred thousand that are due does not
pass over one that is not.

On disk it is in WAL mode with synchronous=FULL: a commit is one append and one fsync, and holds
through a power cut. With NORMAL it would hold through kill -9 only, and a relay in a cupboard
loses its power more often than its process. The cost is shared: many callers' rows a commit.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from metadata.push.backoff import MAX_DELAY

FAR = 2 * MAX_DELAY
"""Seconds: a row due later than that from now was written before the clock was set back."""
AT_ONCE = 0.0
SPARE_PAGES = 512
"""Free pages, 2 MB, that the file keeps: it will be needing them again."""
_GIVEN_BACK = 64
"""Pages at a time: each costs a write."""
_BUSY_SECONDS = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS push (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    address TEXT NOT NULL,
    token TEXT NOT NULL,
    queued REAL NOT NULL,
    due REAL NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS push_at_once ON push (queued) WHERE due = 0;
CREATE INDEX IF NOT EXISTS push_later ON push (due, queued) WHERE due > 0;
"""
_ADD = """
INSERT INTO push (key, address, token, queued, due) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET queued = excluded.queued, due = excluded.due, version = version + 1
"""
# Each of the three by its index alone; of those that waited, who waited longest is looked at. What
# is found comes as one row: the interpreter's lock is given up and fought for again with each.
_DUE = """
SELECT json_group_array(id) FROM (
    SELECT id FROM (
        SELECT * FROM (
            SELECT queued, id FROM push WHERE due = 0 ORDER BY queued DESC LIMIT :most
        ) UNION ALL SELECT * FROM (
            SELECT queued, id FROM push WHERE due > 0 AND due <= :now ORDER BY due LIMIT :most
        ) UNION ALL SELECT * FROM (
            SELECT queued, id FROM push WHERE due > 0 AND due > :far LIMIT :most
        )
    ) ORDER BY queued DESC, id DESC
)
"""
_GET = """
SELECT json_group_array(json_array(id, address, token, queued, failures, version))
FROM push WHERE id IN (SELECT value FROM json_each(?))
"""


class Owed(NamedTuple):
    """A push to be owed, times in seconds since the epoch."""

    address: str
    token: str
    queued: float
    due: float = AT_ONCE


@dataclass(frozen=True, slots=True)
class Push:
    """One push that is owed; `queued` in seconds since the epoch."""

    durable: bool
    id: int
    address: str
    token: str
    queued: float
    failures: int
    version: int


class PushTable:
    """Pushes owed, on disk or in memory. Every method raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, *, durable: bool) -> None:
        self.durable = durable
        self._connection = connection

    @classmethod
    def on_disk(cls, path: Path) -> "PushTable":
        """The table in the database at `path`, made where there is none."""
        connection = _connect(str(path))
        try:
            # Free pages can be given back later only if this stands before the first table.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {4 << 20}")
            connection.executescript(_SCHEMA)
            # As a script: a single statement gives back one page and stops.
            connection.executescript("PRAGMA incremental_vacuum")
            # Reads every row once: a damaged file is better found now than at a message.
            connection.execute("SELECT count(*), max(length(token)) FROM push").fetchall()
        except BaseException:
            connection.close()
            raise
        return cls(connection, durable=True)

    @classmethod
    def in_memory(cls) -> "PushTable":
        """A table that ends with the process."""
        connection = _connect(":memory:")
        connection.executescript(_SCHEMA)
        return cls(connection, durable=False)

    def begin(self) -> None:
        """Open a transaction."""
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction durable."""
        self._connection.execute("COMMIT")

    def shrink(self) -> None:
        """Give some of the space back that a backlog has left, where most of the file is that."""
        free, pages = self._number("PRAGMA freelist_count"), self._number("PRAGMA page_count")
        if free > SPARE_PAGES and free > pages / 2:
            # As a script: a single statement gives back one page and stops.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_GIVEN_BACK})")

    def rollback(self) -> None:
        """Forget the transaction, if one is open."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def add(self, pushes: Iterable[Owed]) -> None:
        """Owe these pushes."""
        self._connection.executemany(
            _ADD, ((_key(push.address, push.token), *push) for push in pushes)
        )

    def due(self, now: float, most: int) -> list[int]:
        """The ids of pushes that are due, those of the newest messages first.

        Of those that are due at once no more than `most` are looked at, nor of those that waited.
        """
        values = {"now": now, "far": now + FAR, "most": most}
        found = self._connection.execute(_DUE, values).fetchone()[0]
        numbers: list[int] = json.loads(found)
        return numbers

    def get(self, numbers: Sequence[int]) -> list[Push]:
        """The pushes of these ids, in their order."""
        if not numbers:
            return []
        found = self._connection.execute(_GET, (json.dumps(numbers),)).fetchone()[0]
        pushes = {row[0]: Push(self.durable, *row) for row in json.loads(found)}
        return [pushes[number] for number in numbers]

    def next_due(self, after: float) -> float | None:
        """When the first push that is not due yet will be."""
        row = self._connection.execute(
            "SELECT min(due) FROM push WHERE due > 0 AND due > ?", (after,)
        )
        moment: float | None = row.fetchone()[0]
        return moment

    def remove(self, push: Push, again: float = AT_ONCE) -> bool:
        """The push was taken: nothing is owed, unless another message has come meanwhile.

        Whether one has; its push is due `again`, in seconds since the epoch.
        """
        where = (push.id, push.token)
        removed = self._connection.execute(
            "DELETE FROM push WHERE id = ? AND token = ? AND version = ?", (*where, push.version)
        )
        if removed.rowcount:
            return False
        left = self._connection.execute(
            "UPDATE push SET failures = 0, due = ? WHERE id = ? AND token = ?", (again, *where)
        )
        return left.rowcount > 0

    def forget(self, push: Push) -> None:
        """The push is given up: nothing is owed to its token, whatever has come meanwhile."""
        self._connection.execute(
            "DELETE FROM push WHERE id = ? AND token = ?", (push.id, push.token)
        )

    def postpone(self, push: Push, due: float) -> None:
        """The push has failed once more and is due again then."""
        self._connection.execute(
            "UPDATE push SET failures = ?, due = ? WHERE id = ? AND token = ?",
            (push.failures + 1, due, push.id, push.token),
        )

    def hurry(self) -> None:
        """Whatever waits for its moment is due at once."""
        self._connection.execute("UPDATE push SET due = 0 WHERE due > 0")

    def adopt(self, push: Push, due: float) -> None:
        """Take over a failed push from another table, due again then."""
        self._connection.execute(
            "INSERT OR REPLACE INTO push (key, address, token, queued, due, failures)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                _key(push.address, push.token),
                push.address,
                push.token,
                push.queued,
                due,
                push.failures + 1,
            ),
        )

    def count(self) -> int:
        """How many pushes are owed."""
        return self._number("SELECT count(*) FROM push")

    def oldest(self) -> float | None:
        """When the push that waits longest was queued, None where there is none."""
        moment: float | None = self._connection.execute("SELECT min(queued) FROM push").fetchone()[
            0
        ]
        return moment

    def _number(self, question: str) -> int:
        number: int = self._connection.execute(question).fetchone()[0]
        return number

    def close(self) -> None:
        """Close the database; in memory, that is its end."""
        self._connection.close()


def _key(address: str, token: str) -> bytes:
    """What stands for both in the index, which would be as large as the table otherwise."""
    return blake2b(f"{address} {token}".encode(), digest_size=16).digest()


def _connect(name: str) -> sqlite3.Connection:
    # Transactions are ours to begin and end. One thread may open this, another use it.
    return sqlite3.connect(
        name, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
