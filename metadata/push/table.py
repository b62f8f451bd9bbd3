"""The queue's table: SQL over one SQLite connection, synchronous, used from one thread.

A row is one push that is owed: an address, one of its tokens, when it is due. A message that
comes while its token's push is still owed changes that row instead of adding one, and raises its
`version`, so that a push that was on its way at that moment does not count for the new message.

Rows that are due at once have 0 for `due`; only those that wait for a moment have a time there.
Each kind has an index of its own, so finding the newest of a hundred thousand that are due does
not pass over one that is not.

On disk the table is in WAL mode with synchronous=FULL: a commit is one append and one fsync, and
survives a power cut. NORMAL survives kill -9 only, and a relay in a cupboard loses its power more
often than its process. Commits that only settle pushes are made with NORMAL: all that a power cut
could do to them is to repeat a push.

What has been deleted leaves no trace: `secure_delete` overwrites it with zeros in the pages, and
`tidy` writes those from the log into the file and empties the log. Neither is enough without the
other.
"""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from metadata.push.backoff import MAX_DELAY
from metadata.push.protocol import Push

FAR = 2 * MAX_DELAY
"""Seconds: a row due later than that from now was written before the clock was set back."""
AT_ONCE = 0.0
FIRST_IN_MEMORY = 1 << 62
"""The ids of a table in memory begin above it, so that no push on disk ever has the same."""
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
CREATE INDEX IF NOT EXISTS push_address ON push (address);
"""
# A token that has failed twice keeps the time of its next try.
_ADD = """
INSERT INTO push (key, address, token, queued, due, failures) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET queued = excluded.queued, version = version + 1,
    due = CASE WHEN failures < 2 THEN excluded.due ELSE due END
"""
_REPLACED = """
DELETE FROM push WHERE address = ? AND token NOT IN (SELECT value FROM json_each(?))
"""
_COLUMNS = "id, address, token, queued, failures, version"
_FREE = """
id NOT IN (SELECT value FROM json_each(:claimed))
AND address NOT IN (SELECT value FROM json_each(:passed_over))
"""
# Each of the three by its index alone; of those that waited, the ones that waited longest.
_DUE = f"""
SELECT {_COLUMNS} FROM (
    SELECT * FROM (
        SELECT {_COLUMNS} FROM push WHERE due = 0 AND {_FREE} ORDER BY queued DESC LIMIT :most
    ) UNION ALL SELECT * FROM (
        SELECT {_COLUMNS} FROM push WHERE due > 0 AND due <= :now AND {_FREE}
        ORDER BY due LIMIT :most
    ) UNION ALL SELECT * FROM (
        SELECT {_COLUMNS} FROM push WHERE due > 0 AND due > :far AND {_FREE} LIMIT :most
    )
) ORDER BY queued DESC, id DESC LIMIT :most
"""  # noqa: S608 - made of our own text only
# Every row that is due is looked at: some tens of milliseconds per hundred thousand, for a probe.
_PROBE = f"""
WITH failing (name, place) AS MATERIALIZED (SELECT value, key FROM json_each(:failing))
SELECT {_COLUMNS}, coalesce(place, -1) FROM push LEFT JOIN failing ON name = address
WHERE (due <= :now OR due > :far) AND id NOT IN (SELECT value FROM json_each(:claimed))
ORDER BY coalesce(place, -1), token IN (SELECT value FROM json_each(:taken)) DESC, queued DESC
LIMIT 1
"""  # noqa: S608 - as above


class Damaged(sqlite3.DatabaseError):
    """The file is not the database that was written."""


class PushTable:
    """Pushes owed, on disk or in memory. Every method raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._is_durable = True

    @classmethod
    def on_disk(cls, path: Path) -> "PushTable":
        """Open the table in the database at `path`, made if missing; raises Damaged too."""
        connection = _connect(str(path))
        try:
            # Free pages can be given back later only if this stands before the first table.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.executescript(_SCHEMA)
            _check(connection)
        except BaseException:
            connection.close()
            raise
        table = cls(connection)
        table.tidy()
        return table

    @classmethod
    def in_memory(cls) -> "PushTable":
        """Open a table that ends with the process."""
        connection = _connect(":memory:")
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO sqlite_sequence VALUES ('push', ?)", (FIRST_IN_MEMORY,))
        return cls(connection)

    def begin(self, *, durable: bool = True) -> None:
        """Open a transaction, whose commit survives a power cut if `durable`."""
        if durable is not self._is_durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._is_durable = durable
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit the transaction."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget the transaction, if one is open."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def tidy(self) -> None:
        """Give free space back to the disk, and leave nothing in the log."""
        # As a script: a single statement gives back one page and stops.
        self._connection.executescript("PRAGMA incremental_vacuum")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def add(self, address: str, tokens: Sequence[str], queued: float) -> None:
        """Owe each token a push, due at once, and no other token of the address."""
        self._connection.execute(_REPLACED, (address, json.dumps(tokens)))
        self._connection.executemany(
            _ADD,
            ((_key(address, token), address, token, queued, AT_ONCE, 0) for token in tokens),
        )

    def due(
        self, now: float, most: int, claimed: Collection[int], passed_over: Collection[str]
    ) -> list[Push]:
        """Return at most `most` pushes that are due, those of the newest messages first.

        None is in `claimed`, and none is for an address in `passed_over`.
        """
        values = _moment(now, claimed) | {"most": most, "passed_over": json.dumps([*passed_over])}
        return [Push(*row) for row in self._connection.execute(_DUE, values)]

    def probe(
        self, now: float, claimed: Collection[int], failing: Sequence[str], taken: Sequence[str]
    ) -> tuple[int, Push] | None:
        """Return the push that says most, as `PushQueue.claim_probe`, and its address's place.

        The place is that in `failing`, -1 for an address that is not in it.
        """
        values = _moment(now, claimed)
        values |= {"failing": json.dumps(failing), "taken": json.dumps(taken)}
        row = self._connection.execute(_PROBE, values).fetchone()
        return None if row is None else (row[-1], Push(*row[:-1]))

    def next_due(self, after: float) -> float | None:
        """Return when the first push that is not due yet will be."""
        moment: float | None = self._single(
            "SELECT min(due) FROM push WHERE due > 0 AND due > ?", after
        )
        return moment

    def remove(self, push: Push, again: float = AT_ONCE) -> bool:
        """The push was taken: nothing is owed, unless another message has come meanwhile.

        Return whether one has; its push is due `again`, in seconds since the epoch.
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
        key = _key(push.address, push.token)
        self._connection.execute("DELETE FROM push WHERE key = ?", (key,))
        self._connection.execute(
            _ADD, (key, push.address, push.token, push.queued, due, push.failures + 1)
        )

    def count(self) -> int:
        """Return how many pushes are owed."""
        number: int = self._single("SELECT count(*) FROM push")
        return number

    def oldest(self) -> float | None:
        """Return when the push that waits longest was queued, None if there is none."""
        moment: float | None = self._single("SELECT min(queued) FROM push")
        return moment

    def close(self) -> None:
        """Close the database; in memory, that is its end."""
        self._connection.close()

    def _single(self, question: str, *values: float) -> Any:
        return self._connection.execute(question, values).fetchone()[0]


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error means that the file is damaged, not that the disk is in trouble."""
    # Extended codes, as SQLITE_CORRUPT_INDEX, have the primary one in their low byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, Damaged) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _check(connection: sqlite3.Connection) -> None:
    # Reads every row once: a damaged file is better found now than at a message.
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise Damaged("its quick_check fails")


def _moment(now: float, claimed: Collection[int]) -> dict[str, object]:
    return {"now": now, "far": now + FAR, "claimed": json.dumps([*claimed])}


def _key(address: str, token: str) -> bytes:
    """Return what stands for both in the index, which would be as large as the table otherwise."""
    return blake2b(f"{address} {token}".encode(), digest_size=16).digest()


def _connect(name: str) -> sqlite3.Connection:
    # Transactions are ours to begin and end. One thread may open this, another use it.
    return sqlite3.connect(
        name, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
