"""kill -9 at every step of a piece of work."""

import signal
import subprocess
import sys
from collections.abc import Sequence

# One interpreter, which forks for each attempt: to start one takes longer than the work.
_HARNESS = """
import os, signal, sys
left = None

def counted(function):
    def call(*arguments, **named):
        global left
        if left is not None:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return function(*arguments, **named)
    return call

for name in sys.argv[1].split():
    setattr(os, name, counted(getattr(os, name)))
exec(sys.argv[2])
for step in range(1000):
    if not (child := os.fork()):
        left = step
        work(step)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, flush=True)
    if code != -signal.SIGKILL:
        break
"""


def steps_killed(calls: str, script: str, arguments: Sequence[str]) -> int:
    """Do a piece of work again and again, each time killed a step later; how many times.

    `script` defines `work(step)` and finds `arguments` from `sys.argv[3]` on; a step is a call of
    one of os' functions that `calls` names. The attempt that was not killed is not counted.
    """
    command = [sys.executable, "-c", _HARNESS, calls, script, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    codes = [int(line) for line in done.stdout.splitlines()]
    assert codes.pop() == 0, "the work fails, or never comes to its end"
    assert set(codes) == {-signal.SIGKILL}
    return len(codes)
