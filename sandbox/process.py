"""One daemon of the sandbox: started in a process group of its own, probed, ended."""

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from sandbox.probes import Probe
from sandbox.problem import SandboxProblem

CHECKOUT = Path(__file__).parents[1]
START_SECONDS = 60.0
"""A start takes a second; on a machine with far too much to do, many."""
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a daemon is and how it is known to answer."""

    name: str
    command: tuple[str, ...]
    address: str
    log: Path
    probe: Probe
    user: str | None = None
    """The user it runs as; None: ours."""
    groups: tuple[str, ...] = ()
    """Groups of other users that it is in, where `user` is set."""
    stop_command: tuple[str, ...] = ()
    """How it is ended; empty: by SIGTERM."""
    descriptors: tuple[int, ...] = ()
    """Open files of ours that it inherits."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A daemon as an earlier sandbox has recorded it."""

    pid: int
    started: int | None
    stop_command: tuple[str, ...]


class Daemon:
    """The running process of a `Spec`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self.process.pid if self.process and self.process.poll() is None else None

    def start(self) -> None:
        """Start the process; it may not answer yet."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            # This checkout's code; the stand-in gateway is in no installed package.
            "PYTHONPATH": str(CHECKOUT),
        }
        user = self.spec.user
        with self.spec.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.spec.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=environment,
                process_group=0,
                pass_fds=self.spec.descriptors,
                user=user,
                group=user,
                extra_groups=None if user is None else self.spec.groups,
            )

    def wait_until_it_answers(self, seconds: float = START_SECONDS) -> None:
        """Raises SandboxProblem, with the end of its log, if it does not within `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.spec.probe():
            if self.pid is None:
                raise SandboxProblem(self._complaint("ended at once"))
            if time.monotonic() > deadline:
                raise SandboxProblem(self._complaint(f"does not answer after {seconds:g} s"))
            time.sleep(POLL_SECONDS)

    def record(self) -> Leftover | None:
        """How to find and end it once this process is no more."""
        if (pid := self.pid) is None:
            return None
        return Leftover(pid, start_time(pid), self.spec.stop_command)

    def ended(self) -> int | None:
        """The exit status of a process that has ended by itself."""
        return self.process.poll() if self.process else None

    def kill(self) -> None:
        """End it as a crash would (SIGKILL), and wait until it is gone."""
        if self.process:
            _signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)

    def ask_to_stop(self) -> None:
        """Let it end in its own way; `wait_until_stopped` follows."""
        if self.pid is None:
            return
        if self.spec.stop_command:
            subprocess.run(self.spec.stop_command, capture_output=True, check=False, cwd="/")
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def wait_until_stopped(self) -> None:
        """Wait for the end, and force it where it does not come."""
        if self.process is None:
            return
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        # Its children, if it left any, are in its group.
        _signal_group(self.process.pid, signal.SIGKILL)

    def _complaint(self, what: str) -> str:
        return (
            f"{self.spec.name} {what}.\n"
            f"Command: {' '.join(self.spec.command)}\n"
            f"The end of {self.spec.log}:\n{tail(self.spec.log)}"
        )


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            return "".join("    " + line for line in deque(file, lines)) or "    (empty)"
    except FileNotFoundError:
        return "    (not there)"


def start_time(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot (proc(5)); None once it has ended.

    It tells apart two processes that had the same id.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    # A zombie has ended, and waits for a parent that may not care.
    return None if state == "Z" else int(fields[18])


def end_leftover(leftover: Leftover) -> bool:
    """End a daemon that an earlier sandbox left behind; whether there was one."""
    pid, started = leftover.pid, leftover.started
    if start_time(pid) != started:
        return False
    if leftover.stop_command:
        subprocess.run(leftover.stop_command, capture_output=True, check=False, cwd="/")
    _signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while start_time(pid) == started and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    _signal_group(pid, signal.SIGKILL)
    return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
