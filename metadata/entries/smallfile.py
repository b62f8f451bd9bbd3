"""A small file of the operator's that is read again once it has changed. Blocks: for a thread."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class SmallFile(Generic[T]):
    """What `parse` makes of the file at `path`, kept for as long as the file is the same."""

    def __init__(self, path: Path, limit: int, parse: Callable[[bytes], T]) -> None:
        """`limit`: octets that the file may have; `parse` raises ValueError for nonsense."""
        self._path = path
        self._limit = limit
        self._parse = parse
        self._seen: tuple[int, ...] = ()
        self._held: T | None = None

    def read(self) -> T:
        """The content; raises OSError where it cannot be read now, ValueError for nonsense."""
        status = self._path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no file")  # opening a FIFO would wait for its writer
        seen = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if seen != self._seen:
            self._held = self._parsed()
            self._seen = seen
        if self._held is None:
            raise ValueError("nonsense")
        return self._held

    def _parsed(self) -> T | None:
        with self._path.open("rb") as file:
            content = file.read(self._limit + 1)
        if len(content) > self._limit:
            return None
        try:
            return self._parse(content)
        except ValueError:
            return None
