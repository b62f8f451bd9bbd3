"""What the machine has left: load, memory, disk. Reads files, so call it from a thread."""

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

from doveauth.policy import Resources

FRESH_SECONDS = 1.0
"""How long a reading is used: a crowd of new users must not read /proc once each."""
MEMINFO = Path("/proc/meminfo")
_AVAILABLE = re.compile(r"^MemAvailable:\s+([0-9]+) kB$", re.MULTILINE)


class ResourcesUnreadable(OSError):
    """The state of the machine is unknown; `strerror` names the file and the mend."""

    def __init__(self, error: OSError, what: Path, mend: str) -> None:
        super().__init__(error.errno, f"{what} cannot be read: {error.strerror}; {mend}")


def read_resources(directory: Path, meminfo: Path = MEMINFO) -> Resources:
    """Return the state of this machine and of the file system of `directory`.

    Memory is `MemAvailable` (proc_meminfo(5)), disk space what users other than root may use.
    Raises ResourcesUnreadable.
    """
    try:
        found = _AVAILABLE.search(meminfo.read_text(encoding="ascii"))
    except OSError as error:
        mend = "where ProcSubset=pid hides it, remove that from the unit"
        raise ResourcesUnreadable(error, meminfo, mend) from None
    try:
        space = os.statvfs(directory)
    except OSError as error:
        raise ResourcesUnreadable(error, directory, "see mailboxes_dir") from None
    return Resources(
        load=os.getloadavg()[0],
        memory=int(found[1]) << 10 if found else 0,
        disk=space.f_bavail * space.f_frsize,
    )


class Gauge:
    """The last reading, renewed when it is old. Safe to call from several threads."""

    def __init__(self, read: Callable[[], Resources], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: Resources | None = None
        self._taken = 0.0

    def __call__(self) -> Resources:
        """Return the resources of about now; raises ResourcesUnreadable."""
        with self._lock:
            now = self._monotonic()
            if self._last is None or now - self._taken >= FRESH_SECONDS:
                self._last, self._taken = self._read(), now
            return self._last
