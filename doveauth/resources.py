"""What the machine has left: load, memory, disk. Reads files, so call it from a thread."""

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

from doveauth.policy import Resources

FRESH_SECONDS = 1.0
"""A reading is used for so long: a crowd of new users must not read /proc once each."""
_MEMINFO = Path("/proc/meminfo")
_AVAILABLE = re.compile(r"^MemAvailable:\s+([0-9]+) kB$", re.MULTILINE)


def read_resources(directory: Path) -> Resources:
    """The state of this machine and of the file system of `directory`; raises OSError.

    Memory is `MemAvailable` (proc_meminfo(5)), disk what those who are not root may still use.
    """
    found = _AVAILABLE.search(_MEMINFO.read_text(encoding="ascii"))
    space = os.statvfs(directory)
    return Resources(
        load=os.getloadavg()[0],
        memory=int(found[1]) << 10 if found else 0,
        disk=space.f_bavail * space.f_frsize,
    )


class Gauge:
    """The last reading, taken again when it has become old. May be asked by several threads."""

    def __init__(self, read: Callable[[], Resources], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: Resources | None = None
        self._taken = 0.0

    def __call__(self) -> Resources:
        """The resources of about now; raises OSError."""
        with self._lock:
            now = self._monotonic()
            if self._last is None or now - self._taken >= FRESH_SECONDS:
                self._last, self._taken = self._read(), now
            return self._last
