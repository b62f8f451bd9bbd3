"""Several signals at once end the sandbox, whichever thread they reach."""

import subprocess
import sys

SCRIPT = """
import os, signal, sys, threading, time
from sandbox.signals import stopped_by_signals

def child(ready):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    try:
        with stopped_by_signals() as wait:
            os.write(ready, b".")
            wait()
    except KeyboardInterrupt:
        os._exit(7)

for turn in range(100):
    ours, theirs = os.pipe()
    if not (pid := os.fork()):
        child(theirs)
    os.read(ours, 1)
    if turn % 2:
        time.sleep(0.002)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 10
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            sys.exit(f"both signals were lost in turn {turn}")
        time.sleep(0.001)
    assert os.waitstatus_to_exitcode(ended[1]) == 7, ended
    os.close(ours)
    os.close(theirs)
"""


def test_an_interrupt_and_a_termination_at_the_same_time_are_never_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
