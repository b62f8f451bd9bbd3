"""What a person at a terminal sees of a run, and how it is broken off."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from relay.mailbox.directory import PASSWORD, Mailbox
from tests.postern.expiry.relays import account, configure
from tests.support import DEADLINE, poll

COMMAND = [sys.executable, "-m", "postern", "expire"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for number in range(3):
        mailbox = account(tmp_path / "mail", f"someone{number:02}")
        os.utime(mailbox / PASSWORD)
    return configure(tmp_path / "mail")


def at_a_terminal(*arguments: str) -> tuple[int, str]:
    """How a command ends whose standard error is a terminal, and what it has shown there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        # The end of a terminal nobody writes to any more is an error (EIO).
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65536):
                shown += piece
        code = process.wait(DEADLINE)
    os.close(ours)
    return code, shown.decode()


def test_progress_is_shown_at_a_terminal_and_nobody_is_named(config: Path) -> None:
    code, shown = at_a_terminal("--config", str(config))
    assert code == 0
    assert "3 mailboxes, 0 messages to go" in shown
    assert "someone" not in shown


def test_there_is_none_where_there_is_no_terminal(config: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--config", str(config), "--json"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_broken_off_by_hand_it_loses_nothing_and_complains_of_nothing(
    config: Path, tmp_path: Path, number: signal.Signals
) -> None:
    idle = account(tmp_path / "mail", "inactive1", idle_days=1000)
    with subprocess.Popen(
        [*COMMAND, "--config", str(config), "--remove"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        poll(lambda: not idle.exists(), "the mailbox put aside")
        os.killpg(process.pid, number)
        out, said = process.communicate(timeout=DEADLINE)
    assert process.returncode != 0
    assert "Traceback" not in said
    assert "inactive1" not in out + said
    assert Mailbox(idle).recover_and_read() == "{PLAIN}x"
