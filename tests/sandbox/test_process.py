import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.problem import SandboxProblem
from sandbox.process import Daemon, Leftover, Spec, end_leftover, start_time
from tests.support import poll

SLEEPER = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """A file that a program of these tests makes when it runs."""
    return tmp_path / "started"


def _daemon(started: Path, program: str) -> Daemon:
    return Daemon(
        Spec(
            name="example",
            command=(sys.executable, "-c", program, str(started)),
            address="nowhere",
            log=started.with_name("example.log"),
            probe=started.exists,
        )
    )


@pytest.fixture
def daemon(started: Path) -> Iterator[Daemon]:
    daemon = _daemon(started, SLEEPER)
    yield daemon
    daemon.kill()


def test_it_answers_and_ends_when_it_is_asked_to(daemon: Daemon) -> None:
    daemon.start()
    daemon.wait_until_it_answers()
    assert daemon.pid
    daemon.ask_to_stop()
    daemon.wait_until_stopped()
    assert daemon.pid is None


def test_one_that_dies_at_once_shows_its_last_words(started: Path) -> None:
    daemon = _daemon(started, "print('line 1'); raise SystemExit('the cause')")
    daemon.start()
    with pytest.raises(SandboxProblem, match=r"(?s)example ended at once.*line 1.*the cause"):
        daemon.wait_until_it_answers()


def test_one_that_never_answers_is_given_up(daemon: Daemon, started: Path) -> None:
    silent = Daemon(
        Spec(
            name="silent",
            command=daemon.spec.command,
            address="",
            log=started.with_name("silent.log"),
            probe=lambda: False,
        )
    )
    silent.start()
    with pytest.raises(SandboxProblem, match="does not answer after"):
        silent.wait_until_it_answers(0.1)
    silent.kill()


def test_one_that_was_left_running_is_found_and_ended(daemon: Daemon) -> None:
    daemon.start()
    daemon.wait_until_it_answers()
    leftover = daemon.record()
    assert leftover
    assert end_leftover(leftover)
    assert daemon.pid is None
    assert not end_leftover(leftover)


def test_another_process_with_the_same_id_is_left_alone(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.pid
    started = start_time(daemon.pid)
    assert started
    assert not end_leftover(Leftover(daemon.pid, started - 1, ()))
    assert daemon.pid


def test_a_stop_command_is_used_where_there_is_one(started: Path) -> None:
    farewell = started.with_name("farewell")
    daemon = Daemon(
        Spec(
            name="example",
            command=(sys.executable, "-c", STUBBORN, str(started)),
            stop_command=("touch", str(farewell)),
            address="",
            log=started.with_name("example.log"),
            probe=started.exists,
        )
    )
    daemon.start()
    daemon.wait_until_it_answers()
    daemon.ask_to_stop()
    assert farewell.exists()
    daemon.kill()


def test_a_zombie_has_ended(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.process
    pid = daemon.process.pid
    daemon.process.kill()
    poll(lambda: start_time(pid) is None, "the end")
