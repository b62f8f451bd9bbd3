"""The sandbox itself: supervision, its end, and what it leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postern.options import RECORD
from sandbox.login import running_sandbox
from sandbox.ports import PREFERRED, choose_ports, is_free
from sandbox.problem import SandboxProblem
from sandbox.relay import PORTS, Sandbox, remove_abandoned
from tests.e2e.conftest import SANDBOXES
from tests.support import DEADLINE, poll

pytestmark = pytest.mark.e2e


def _processes_of(directory: Path) -> list[str]:
    """The command lines that name a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended as we looked
        if str(directory) in command and int(entry.parent.name) != os.getpid():
            found.append(command)
    return found


def test_a_daemon_that_dies_is_started_again(sandbox: Sandbox) -> None:
    daemon = sandbox.daemons["metadata"]
    before = daemon.pid
    assert before
    os.kill(before, signal.SIGKILL)
    poll(lambda: daemon.pid not in (None, before), "another process")
    daemon.wait_until_it_answers()


def test_one_directory_has_one_sandbox(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxProblem, match="another sandbox"):
        Sandbox(next(SANDBOXES.glob("e2e-*"))).start()
    assert sandbox.daemons["dovecot"].spec.probe()


@pytest.fixture
def directory() -> Path:
    return SANDBOXES / f"e2e-command-{os.getpid()}"


def _start(directory: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "sandbox", "run", "--directory", str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=SANDBOXES.parent)
    assert process.stdout
    assert any(b"Running until Ctrl-C" in line for line in process.stdout)
    return process


def _files_of(directory: Path) -> Path:
    """Where a running sandbox has its files: elsewhere if `directory` is closed to other users."""
    return Path(json.loads((directory / RECORD).read_text())["root"] or directory)


def test_the_ports_are_those_of_the_last_run(directory: Path) -> None:
    """Profiles that were made in it go on to work.

    The known ports may be another sandbox's, beside this one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kept = choose_ports(None, PREFERRED)
    (directory / PORTS).write_text(json.dumps(kept))
    for _ in range(2):
        with _start(directory) as process:
            assert running_sandbox(directory / RECORD)[1] == kept
            process.terminate()
            process.wait(DEADLINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_that_was_started(directory: Path, number: signal.Signals) -> None:
    with _start(directory) as process:
        _, ports = running_sandbox(directory / RECORD)
        files = _files_of(directory)
        assert not is_free(ports["imaps"])
        assert _processes_of(files)
        process.send_signal(number)
        process.wait(DEADLINE)
    assert not (directory / RECORD).exists()
    assert all(is_free(port) for port in ports.values())
    assert _processes_of(files) == []


def test_what_a_killed_sandbox_left_is_ended(directory: Path) -> None:
    with _start(directory) as process:
        files = _files_of(directory)
        process.kill()
    assert _processes_of(files)
    remove_abandoned(directory.parent, directory.name)
    assert _processes_of(files) == []
    assert not files.exists()
    assert not directory.exists()
