"""The record of an installation that is under way, from which it can be undone.

Each entry is on disk before the change that it is about is made. So a run that was killed at any
moment can be put back by the next one: undoing what was never done changes nothing.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
"""`kind`, and what undoing needs."""
_LINES = "entries.jsonl"


class Journal:
    """The entries of one installation, in a directory that is there while it is under way."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept = 0

    @property
    def is_open(self) -> bool:
        """Whether an installation was begun and neither finished nor undone."""
        return (self._directory / _LINES).exists()

    def begin(self) -> None:
        """Begin a new one; the directory must not be there."""
        self._directory.mkdir(mode=0o700, parents=True)
        (self._directory / _LINES).touch()

    def record(self, entry: Entry) -> None:
        """Append an entry; it is on disk when this returns."""
        with (self._directory / _LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def keep(self, path: Path) -> str:
        """Keep the contents of a file; return the name to find them by."""
        self._kept += 1
        name = f"{os.getpid()}-{self._kept}"
        with (self._directory / name).open("wb") as copy:
            copy.write(path.read_bytes())
            copy.flush()
            os.fsync(copy.fileno())
        return name

    def kept(self, name: str) -> bytes:
        """The contents that `keep` kept."""
        return (self._directory / name).read_bytes()

    def backwards(self) -> Iterator[Entry]:
        """The entries, the last one first. A last line that is cut off was never acted on."""
        lines = (self._directory / _LINES).read_text(encoding="utf-8").split("\n")
        for line in reversed(lines[:-1]):
            yield json.loads(line)

    def end(self) -> None:
        """Forget all of it: the installation is complete, or undone."""
        (self._directory / _LINES).unlink(missing_ok=True)
        shutil.rmtree(self._directory, ignore_errors=True)
