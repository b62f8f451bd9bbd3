"""A benchmark that is ended early."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.process import ROOT
from tests.support import DEADLINE, poll


@pytest.mark.slow
def test_a_benchmark_that_is_terminated_leaves_no_daemon_behind() -> None:
    command = [sys.executable, "-m", "bench", "rest", "--base", "HEAD"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as bench:
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")

        def daemons() -> list[int]:
            pids = map(int, children.read_text().split())
            return [pid for pid in pids if b"--config" in Path(f"/proc/{pid}/cmdline").read_bytes()]

        poll(lambda: len(daemons()) >= 2, "two daemons")
        # The other may have been started so recently that nobody knows its id.
        first = daemons()[0]
        bench.send_signal(signal.SIGTERM)
        bench.wait(DEADLINE)
    assert bench.returncode == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
