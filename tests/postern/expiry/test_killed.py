"""kill -9 at every step of a run: nothing that should stay goes, and the next run ends it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postern.expiry import run as running
from postern.expiry.run import run
from relay.mailbox.directory import Mailbox
from tests.postern.expiry.relays import DOMAIN, NOW, account, everything, message, rules

CHILD = """
import os, shutil, signal, sys
from pathlib import Path
left = int(sys.argv[2])

def counted(function):
    def call(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*arguments, **named)
    return call

for name in ("rename", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
from postern.expiry import run as running
from tests.postern.expiry.relays import DOMAIN, rules
running.GRACE_SECONDS = 0.0
running.run(Path(sys.argv[1]), DOMAIN, rules(), act=True, workers=1)
"""


def build(root: Path) -> set[str]:
    """A relay, and what must be left of it."""
    root.mkdir()
    stays = account(root, "someone12")
    for days in (30, 3, 29):
        message(stays, days)
    kept = {path for path in everything(root) if ".M0" not in path and ".M2" not in path}
    gone = account(root, "inactive1", idle_days=92)
    message(gone, 1)
    return kept


@pytest.mark.slow
def test_a_run_killed_at_any_step_is_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE_SECONDS", 0.0)
    for step in range(100):
        root = tmp_path / str(step)
        kept = build(root)
        done = subprocess.run([sys.executable, "-c", CHILD, str(root), str(step)], check=False)
        assert kept <= everything(root)
        half = Mailbox(root / f"inactive1@{DOMAIN}")
        # It is whole where it was or aside, or it is no account any more.
        assert half.recover_and_read() in ("{PLAIN}x", None)
        run(root, DOMAIN, rules(), act=True, workers=1)
        assert everything(root) == kept
        if done.returncode == 0:
            assert step > 8
            return
        assert done.returncode == -signal.SIGKILL
    pytest.fail("the run never came to its end")


def test_now_is_a_day_of_these_tests() -> None:
    assert rules().now == NOW
