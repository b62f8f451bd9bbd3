"""The peer: one thread that lists and stats every file, as the scripts of existing relays do.

`python -m bench.expire.naive MAILBOXES DAYS` deletes messages older than so many days.
"""

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

DAY = 86400


class Entry(NamedTuple):
    """A message's file."""

    path: str
    mtime: float
    octets: int


def main() -> None:
    """Walk, then delete, a mailbox after the other."""
    root, days = sys.argv[1], int(sys.argv[2])
    before = time.time() - days * DAY
    for name in os.listdir(root):  # noqa: PTH208 - as they do
        if name.startswith("."):
            continue
        mailbox = str(Path(root) / name)
        entries = [entry for part in ("cur", "new", "tmp") for entry in walk(f"{mailbox}/{part}")]
        due = [entry for entry in entries if entry.mtime < before]
        for entry in due:
            try:
                os.unlink(entry.path)  # noqa: PTH108
            except FileNotFoundError:
                continue
        if due and os.path.exists(f"{mailbox}/maildirsize"):  # noqa: PTH110
            os.unlink(f"{mailbox}/maildirsize")  # noqa: PTH108


def walk(directory: str) -> list[Entry]:
    """Every file in a directory, with its state."""
    entries = []
    for name in os.listdir(directory):  # noqa: PTH208
        path = f"{directory}/{name}"
        state = os.stat(path)  # noqa: PTH116
        entries.append(Entry(path, state.st_mtime, state.st_size))
    return entries


if __name__ == "__main__":
    main()
