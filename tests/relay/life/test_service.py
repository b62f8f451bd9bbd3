"""The life cycle in real processes: ready, watched, drained, ended, and told what is wrong."""

import contextlib
import os
import pwd
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.life.service import EXIT_CONFIG, EXIT_FAILURE
from relay.life.sockets import open_unix
from tests.support import DEADLINE, Daemon, daemon

SCRIPT = str(Path(__file__).with_name("waiting_daemon.py"))


@pytest.fixture
def config(socket_dir: Path) -> Path:
    path = socket_dir / "chatmail.ini"
    user = pwd.getpwuid(os.geteuid()).pw_name
    path.write_text(f"[params]\nmail_domain = example.org\nmailboxes_user = {user}\n")
    return path


@pytest.fixture
def path(socket_dir: Path) -> Path:
    return socket_dir / "talk"


@pytest.fixture
def manager(socket_dir: Path) -> Iterator[socket.socket]:
    """The end of sd_notify(3) that systemd holds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(socket_dir / "notify"))
        receiver.settimeout(DEADLINE)
        yield receiver


@contextlib.contextmanager
def talk(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(DEADLINE)
        peer.connect(str(path))
        assert peer.recv(100) == b"example.org\n"
        yield peer


def command(config: Path, path: Path | None = None) -> list[str]:
    where = [] if path is None else ["--talk-socket", str(path)]
    return [SCRIPT, "--config", str(config), *where]


def started(config: Path, path: Path) -> contextlib.AbstractContextManager[Daemon]:
    return daemon(command(config, path))


def test_the_manager_hears_when_it_is_ready_and_when_it_stops(
    config: Path, path: Path, manager: socket.socket
) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname()}
    with daemon(command(config, path), environ) as running:
        assert manager.recv(100) == b"READY=1"
        with talk(path):
            pass
        assert running.terminate() == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_the_manager_may_have_an_abstract_socket(config: Path, path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0postern-test-{os.getpid()}")
        receiver.settimeout(DEADLINE)
        with daemon(command(config, path), {"NOTIFY_SOCKET": f"@postern-test-{os.getpid()}"}):
            assert receiver.recv(100) == b"READY=1"


def test_the_watchdog_is_fed_again_and_again(
    config: Path, path: Path, manager: socket.socket
) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "100000"}
    with daemon(command(config, path), environ):
        heard = [manager.recv(100) for _ in range(5)]
    assert sorted(heard) == [b"READY=1"] + [b"WATCHDOG=1"] * 4


def test_a_manager_that_is_gone_disturbs_nothing(config: Path, path: Path) -> None:
    with daemon(command(config, path), {"NOTIFY_SOCKET": "/nonexistent/notify"}) as running:
        running.wait_for_log("waiting_daemon is up")
        assert running.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_it_and_it_exits_with_0(config: Path, path: Path, number: int) -> None:
    with started(config, path) as running:
        running.wait_for_log("waiting_daemon is up on talk-socket")
        with talk(path) as peer:
            peer.sendall(b"wait\n")
            assert peer.recv(100) == b"waiting\n"
            running.process.send_signal(number)
            assert peer.recv(100) == b"done\n"
        assert running.wait() == 0
        assert "waiting_daemon has ended" in running.log
        assert "Traceback" not in running.log


def test_sockets_come_from_systemd_by_name(config: Path, socket_dir: Path, path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other,
        contextlib.closing(open_unix(path)) as listener,
        daemon(command(config), sockets={"unused": other, "talk-socket": listener}) as running,
    ):
        # Nobody is refused before it is up: the connection waits in systemd's socket.
        with talk(path):
            pass
        assert running.terminate() == 0
        assert path.is_socket()


def test_systemds_sockets_are_not_taken_by_another_process(config: Path, path: Path) -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "talk-socket"}
    with daemon(command(config), environ) as running:
        assert running.wait() == EXIT_FAILURE
        assert "no talk-socket: give --talk-socket PATH, or start from its systemd" in running.log


def test_a_bad_configuration_is_told_and_exits_with_78(config: Path, path: Path) -> None:
    config.write_text("[params]\nmail_domain = example.org\nmax_load_1m = high\n")
    with started(config, path) as running:
        assert running.wait() == EXIT_CONFIG == 78
        assert f"{config}:3: key 'max_load_1m' is 'high': a load average above 0" in running.log
        assert "Traceback" not in running.log
    assert not path.exists()


def test_a_missing_configuration_is_told_and_exits_with_78(socket_dir: Path, path: Path) -> None:
    with started(socket_dir / "none.ini", path) as running:
        assert running.wait() == EXIT_CONFIG
        assert "none.ini: cannot be read: No such file or directory" in running.log


def test_a_daemon_that_cannot_go_on_says_why_and_exits_with_1(config: Path, path: Path) -> None:
    with started(config, path) as running:
        running.wait_for_log("waiting_daemon is up")
        with talk(path) as peer:
            peer.sendall(b"fail\n")
            assert running.wait() == EXIT_FAILURE
        assert "CRITICAL relay.life.service: asked to fail" in running.log
        assert "Traceback" not in running.log


def test_the_text_of_an_exception_that_nobody_foresaw_is_not_logged(
    config: Path, path: Path
) -> None:
    with started(config, path) as running:
        running.wait_for_log("waiting_daemon is up")
        with talk(path) as peer:
            peer.sendall(b"forget\n")
            running.wait_for_log("unexpected ValueError during what nobody awaited")
            running.wait_for_log("unexpected ValueError during what nobody watched")
        with talk(path) as peer:
            peer.sendall(b"bug\n")
            assert running.wait() == 1
        assert running.log.count("unexpected ValueError") == 3
        assert "raising" in running.log, "its stack"
        assert "someone12" not in running.log


def test_a_socket_left_by_a_killed_process_is_replaced(config: Path, path: Path) -> None:
    with started(config, path) as first:
        first.wait_for_log("waiting_daemon is up")
        first.process.kill()
        first.wait()
    assert path.is_socket()
    with started(config, path) as second:
        second.wait_for_log("waiting_daemon is up")
        with talk(path):
            pass


def test_a_socket_that_is_answered_is_left_alone(config: Path, path: Path) -> None:
    with started(config, path) as first:
        first.wait_for_log("waiting_daemon is up")
        with started(config, path) as second:
            assert second.wait() == EXIT_FAILURE
            assert f"cannot listen on {path}: another process answers there" in second.log
        with talk(path):
            pass


def test_a_file_in_the_sockets_place_is_not_removed(config: Path, path: Path) -> None:
    path.write_text("precious")
    with started(config, path) as running:
        assert running.wait() == EXIT_FAILURE
        assert f"cannot listen on {path}: Address already in use" in running.log
    assert path.read_text() == "precious"


def test_the_journal_gets_the_priority_of_each_line(config: Path, path: Path) -> None:
    with daemon(command(config, path), {"JOURNAL_STREAM": "8:1"}) as running:
        running.wait_for_log("is up on")
        assert running.log.startswith("<6>INFO relay.life.service: waiting_daemon is up on")


def test_the_command_line_tells_what_is_missing(config: Path) -> None:
    with daemon([SCRIPT]) as running:
        assert running.wait() == 2
        assert "the following arguments are required: --config" in running.log


@pytest.mark.parametrize("milliseconds", [0, 20, 60, 120, 200, 300, 500])
def test_a_signal_to_end_while_it_starts_ends_it(
    config: Path, path: Path, milliseconds: int
) -> None:
    with started(config, path) as running:
        time.sleep(milliseconds / 1000)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            running.process.send_signal(number)
        # By itself, or by the signal before the interpreter got to main().
        assert running.wait() in (0, 1, -signal.SIGTERM, -signal.SIGINT)
        assert "unexpected" not in running.log
