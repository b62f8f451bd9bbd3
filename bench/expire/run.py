"""A whole run of the benchmark of expiry: what is measured, and the tables that come of it."""

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from bench.expire import tree
from bench.figures import Target, Verdict
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.process import MB, ROOT
from bench.report import Table, number, targets_table

NAME = "expire"
NOTES = """\
Mailboxes with ten messages each, half of them due, on the file system of the machine's temporary
directory; each program has a fresh tree, made the same way. `postern expire --remove` from start
to end, beside a walk in one thread that lists and stats every file and deletes what is due, as the
scripts of existing relays do. Rates are messages looked at, a second. Memory is the most that any
one process had resident, and all of them together."""
_POLL_SECONDS = 0.1
"""A look costs what is looked at some milliseconds of a core: seldom enough not to slow it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How many mailboxes, and how many for the comparison of memory."""

    mailboxes: int
    few: int


QUICK = Plan(mailboxes=2000, few=200)
FULL = Plan(mailboxes=20_000, few=2000)


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """One program over one tree."""

    mailboxes: int
    seconds: float
    largest_mb: float
    together_mb: float

    @property
    def messages_per_s(self) -> float:
        """Messages looked at, a second."""
        return self.mailboxes * tree.MESSAGES / self.seconds


class Result(Measured, frozen=True, kw_only=True):
    """What a run has measured."""

    ours: Walk
    naive: Walk
    few: Walk

    @property
    def ratio(self) -> float:
        """How many times as fast as the naive walk."""
        return self.naive.seconds / self.ours.seconds

    @property
    def growth_mb(self) -> float:
        """Memory at ten times as many mailboxes, over that at few."""
        return self.ours.together_mb - self.few.together_mb

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        return [
            Verdict(
                target=Target(what="times as fast as the naive walk", unit="", at_least=2),
                measured=self.ratio,
            ),
            Verdict(
                target=Target(what="memory for ten times the mailboxes", unit="MB", at_most=5),
                measured=self.growth_mb,
            ),
        ]

    def tables(self) -> list[Table]:
        """All that was measured, the targets first."""
        rows = [
            [
                what,
                f"{walk.mailboxes:,}",
                number(walk.seconds),
                number(walk.messages_per_s),
                number(walk.largest_mb),
                number(walk.together_mb),
            ]
            for what, walk in (
                ("postern expire --remove", self.ours),
                ("the naive walk", self.naive),
                ("postern expire --remove", self.few),
            )
        ]
        columns = ("", "mailboxes", "seconds", "messages/s", "largest MB", "together MB")
        return [targets_table(self.verdicts()), Table("From start to end", columns, rows)]


def run(plan: Plan, report: Callable[[str], None]) -> Result:
    """Measure; `report` hears of each part. Raises BenchProblem."""

    def walk(what: str, mailboxes: int, command: Callable[[Path], list[str]]) -> Walk:
        with tempfile.TemporaryDirectory(prefix="postern-bench-") as name:
            report(f"making {mailboxes:,} mailboxes for {what}")
            config = tree.build(Path(name), mailboxes)
            report(what)
            return _walked(mailboxes, Path(name), command(config))

    def ours(config: Path) -> list[str]:
        return ["postern", "expire", "--remove", "--json", "--config", str(config)]

    def naive(config: Path) -> list[str]:
        return ["bench.expire.naive", str(config.parent / "mail"), "20"]

    return Result(
        few=walk("postern expire, few mailboxes", plan.few, ours),
        naive=walk("the naive walk", plan.mailboxes, naive),
        ours=walk("postern expire", plan.mailboxes, ours),
    )


def _walked(mailboxes: int, place: Path, arguments: list[str]) -> Walk:
    began = time.perf_counter()
    command = [sys.executable, "-m", *arguments]
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process,  # noqa: S603 - our own modules
        _Memory(process.pid) as memory,
    ):
        process.wait()
        seconds = time.perf_counter() - began
    if process.returncode:
        raise BenchProblem(f"{arguments[0]} ended with {process.returncode}")
    left = tree.messages(place / "mail")
    if left != mailboxes * tree.MESSAGES // 2:
        raise BenchProblem(f"{arguments[0]} left {left} messages")
    return Walk(
        mailboxes=mailboxes,
        seconds=seconds,
        largest_mb=memory.largest,
        together_mb=memory.together,
    )


class _Memory:
    """Looks at a process and its children every so often while the block runs."""

    def __init__(self, pid: int) -> None:
        self.largest = self.together = 0.0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            resident = _resident(self._pid)
            self.largest = max(self.largest, *resident)
            self.together = max(self.together, sum(resident))


def _resident(parent: int) -> list[float]:
    """MB that a process and each of its children share with nobody (Pss of proc_pid_smaps(5))."""
    sizes = [0.0]
    for pid in (parent, *_children(parent)):
        with contextlib.suppress(OSError, ValueError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            line = next(line for line in text.splitlines() if line.startswith("Pss:"))
            sizes.append(int(line.split()[1]) * 1024 / MB)
    return sizes


def _children(parent: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [
            int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        ]
    return []
