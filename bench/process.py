"""The processes of a run: started, waited for, metered from outside, ended."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.problem import BenchProblem
from sandbox.process import tail

ROOT = Path(__file__).parents[1]
"""The checkout, whose packages the processes import."""
START_SECONDS = 20.0
STOP_SECONDS = 20.0
MB = 1_000_000


class Meter:
    """Processor time and memory of a running process, as the kernel accounts for them."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        # The CPU clock of a process, as clock_getcpuclockid(3) computes it from a pid on Linux
        # (posix-timers.h). It counts nanoseconds; /proc/PID/stat has ticks of ten milliseconds.
        self._clock = ~pid << 3 | 2

    def cpu(self) -> float:
        """Seconds of processor time so far, of all threads, user and system."""
        return time.clock_gettime(self._clock)

    def resident(self) -> float:
        """Resident memory now, in MB (10^6 octets)."""
        return self._memory("VmRSS")

    def proportional(self) -> float:
        """Resident memory now, each shared page divided by its users (PSS), in MB."""
        return self._memory("Pss", "smaps_rollup")

    def peak(self) -> float:
        """The most that was resident since the start or `reset_peak`, in MB."""
        return self._memory("VmHWM")

    def reset_peak(self) -> None:
        """Set the peak to the memory that is resident now (proc_pid_clear_refs(5))."""
        (self._proc / "clear_refs").write_text("5")

    def _memory(self, field: str, file: str = "status") -> float:
        lines = (self._proc / file).read_text().splitlines()
        value = next(line for line in lines if line.startswith(f"{field}:"))
        return int(value.split()[1]) * 1024 / MB


@contextlib.contextmanager
def started(
    arguments: list[str], log: Path, root: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python ARGUMENTS` in `root`, its standard error in `log`; end it with the block."""
    with log.open("a") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, *arguments],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            # Anything that readline() leaves in a buffer would be lost to communicate().
            bufsize=0,
        )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(
    answers: Callable[[], bool], process: subprocess.Popen[bytes], name: str, log: Path
) -> None:
    """Wait for a process to answer; raises BenchProblem if it ends or does not."""
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchProblem(f"{name} does not answer; the end of its log:\n{tail(log)}")
        time.sleep(0.01)
