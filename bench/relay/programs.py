"""The processes of a whole relay, by program: processor time and memory."""

from collections import Counter
from pathlib import Path

import msgspec

from bench.process import Meter
from sandbox.relay import Sandbox

STANDS_IN = ("gateway",)
"""Daemons of a sandbox that a host does not have."""
TICKS_PER_SECOND = 100
"""The unit of the times in /proc/PID/stat: USER_HZ, which Linux shows as 100 everywhere."""


class Stat(msgspec.Struct, frozen=True):
    """What /proc/PID/stat says that is needed here."""

    name: str
    parent: int
    ended: float
    """Seconds of processor time of children that have ended and were waited for."""


class Ledger:
    """Processor time per program of a relay, between `begin` and `end`.

    Processes come and go: `look` at them now and then. The time of those that nobody saw goes to
    their master's name, as `… ended`; the sum over all names is exact to a tick per daemon.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._roots = roots(sandbox)
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._names: dict[int, str] = {}
        self._ended: dict[str, float] = {}

    def begin(self) -> None:
        """Start to count."""
        self._first, self._last, self._names = {}, {}, {}
        self._ended = self._ended_children()
        self._look(self._first)
        self._last = dict(self._first)

    def look(self) -> None:
        """Note the times of the processes that run."""
        self._look(self._last)

    def end(self) -> dict[str, float]:
        """Seconds per program since `begin`, the largest first."""
        self.look()
        spent: Counter[str] = Counter()
        alive = {pid for pids in self._trees().values() for pid in pids}
        known: Counter[str] = Counter()
        for pid, last in self._last.items():
            name = self._names[pid]
            spent[name] += last - self._first.get(pid, 0.0)  # type: ignore[assignment]  # seconds
            if pid not in alive:
                # Its whole life is in the account of its master's ended children.
                known[name.partition("/")[0]] += last  # type: ignore[assignment]  # seconds
        for daemon, ended in self._ended_children().items():
            rest = ended - self._ended.get(daemon, 0.0) - known[daemon]
            if rest > 0:
                spent[f"{daemon}/ended"] += rest  # type: ignore[assignment]  # seconds
        return dict(spent.most_common())

    def _look(self, times: dict[int, float]) -> None:
        for daemon, pids in self._trees().items():
            for pid, stat in pids.items():
                try:
                    times[pid] = Meter(pid).cpu()
                except OSError:
                    continue  # it has ended since
                if pid not in self._names:
                    self._names[pid] = _program(daemon, pid, stat.name)

    def _trees(self) -> dict[str, dict[int, Stat]]:
        everything = processes()
        return {daemon: tree(everything, pid) for daemon, pid in self._roots.items()}

    def _ended_children(self) -> dict[str, float]:
        return {
            daemon: sum(stat.ended for stat in pids.values())
            for daemon, pids in self._trees().items()
        }


def roots(sandbox: Sandbox) -> dict[str, int]:
    """The process id of each daemon of a relay that runs; stand-ins left out."""
    return {
        name: daemon.pid
        for name, daemon in sandbox.daemons.items()
        if daemon.pid is not None and name not in STANDS_IN
    }


def memory(sandbox: Sandbox) -> dict[str, float]:
    """The PSS of each daemon with all its processes, in MB (10^6 octets)."""
    everything = processes()
    return {
        daemon: sum(map(_proportional, tree(everything, pid)))
        for daemon, pid in roots(sandbox).items()
    }


def count(sandbox: Sandbox) -> int:
    """How many processes the relay has."""
    everything = processes()
    return sum(len(tree(everything, pid)) for pid in roots(sandbox).values())


def processes() -> dict[int, Stat]:
    """All processes of this machine, by id."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and (stat := _stat(place)):
            found[int(place.name)] = stat
    return found


def tree(everything: dict[int, Stat], root: int) -> dict[int, Stat]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for pid, stat in everything.items():
        children.setdefault(stat.parent, []).append(pid)
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if pid in everything:
            found[pid] = everything[pid]
            waiting += children.get(pid, ())
    return found


def parse_stat(text: str) -> Stat:
    """Read a line of /proc/PID/stat (proc(5)); the name may hold spaces and parentheses."""
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    ticks = int(fields[13]) + int(fields[14])
    return Stat(head.partition("(")[2], int(fields[1]), ticks / TICKS_PER_SECOND)


def _stat(place: Path) -> Stat | None:
    try:
        return parse_stat((place / "stat").read_text(errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def _proportional(pid: int) -> float:
    try:
        return Meter(pid).proportional()
    except (OSError, StopIteration):
        return 0.0  # it has ended since


def _program(daemon: str, pid: int, name: str) -> str:
    """`daemon/program`, and the daemon alone where it is a single process."""
    if daemon not in ("postfix", "dovecot"):
        return daemon
    if name == "smtpd":
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            arguments = b""
        name = "smtpd, reinject" if b"reinject" in arguments else name
    return f"{daemon}/{name}"
