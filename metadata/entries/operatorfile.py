"""Files that the operator provides for an entry, and how trouble with an entry is reported."""

import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class OperatorFile(Generic[T]):
    """A small file that is parsed again once it has changed. It blocks: for a thread."""

    def __init__(self, path: Path, limit: int, parse: Callable[[bytes], T]) -> None:
        """`limit`: octets that the file may have; `parse` raises ValueError for nonsense."""
        self._path = path
        self._limit = limit
        self._parse = parse
        self._seen: tuple[int, ...] = ()
        self._held: T | None = None

    def read(self) -> T:
        """Return what `parse` makes of the content.

        Raises OSError if the file cannot be read now, ValueError for nonsense.
        """
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


class Trouble:
    """Trouble with one METADATA entry, reported once and not each time a client asks.

    Its texts hold no secret and name nobody.
    """

    def __init__(self, entry: str) -> None:
        self._entry = entry
        self._last = ""

    def report(self, what: str) -> None:
        """Warn, unless this very trouble was the last to be reported."""
        if what != self._last:
            log.warning("METADATA entry %s is in trouble: %s", self._entry, what)
        self._last = what

    def over(self) -> None:
        """All is well: the next trouble is news again."""
        if self._last:
            log.info("METADATA entry %s is well again", self._entry)
        self._last = ""
