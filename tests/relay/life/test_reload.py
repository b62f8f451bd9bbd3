"""SIGHUP: a new configuration comes into force, and nobody who connects meanwhile is refused."""

import contextlib
import os
import pwd
import signal
import socket
import time
from pathlib import Path

import pytest

from relay.life.sockets import open_unix
from tests.support import DEADLINE, Daemon, daemon, poll

SCRIPT = str(Path(__file__).with_name("waiting_daemon.py"))


def write_config(path: Path, domain: str) -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    draft = path.with_suffix(".new")
    draft.write_text(f"[params]\nmail_domain = {domain}\nmailboxes_user = {user}\n")
    draft.replace(path)


def connect(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(DEADLINE)
    peer.connect(str(path))
    return peer


def starts(running: Daemon) -> int:
    return running.log.count("waiting_daemon is up")


def test_a_new_configuration_in_the_same_process(socket_dir: Path) -> None:
    config, path = socket_dir / "chatmail.ini", socket_dir / "talk"
    write_config(config, "old.example")
    with daemon([SCRIPT, "--config", str(config), "--talk-socket", str(path)]) as running:
        poll(lambda: starts(running) == 1, "the first start")
        with connect(path) as busy:
            assert busy.recv(100) == b"old.example\n"
            busy.sendall(b"wait\n")
            assert busy.recv(100) == b"waiting\n"
            write_config(config, "new.example")
            running.process.send_signal(signal.SIGHUP)
            assert busy.recv(100) == b"done\n", "what was under way is finished"
            with connect(path) as meanwhile:
                assert meanwhile.recv(100) in (b"old.example\n", b"new.example\n")
        poll(lambda: starts(running) == 2, "the second start")
        with connect(path) as peer:
            assert peer.recv(100) == b"new.example\n"
        for domain in ("third.example", "fourth.example"):
            write_config(config, domain)
            before = starts(running)
            running.process.send_signal(signal.SIGHUP)
            poll(lambda before=before: starts(running) > before, "another start")  # type: ignore[misc]
            with connect(path) as peer:
                assert peer.recv(100) == f"{domain}\n".encode()
        assert running.terminate() == 0


def test_a_bad_configuration_changes_nothing(socket_dir: Path) -> None:
    config, path = socket_dir / "chatmail.ini", socket_dir / "talk"
    write_config(config, "old.example")
    with daemon([SCRIPT, "--config", str(config), "--talk-socket", str(path)]) as running:
        poll(lambda: starts(running) == 1, "the start")
        config.write_text("[params]\nmail_domain = a b\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_log("the configuration stays as it was")
        assert f"{config}:2" in running.log
        with connect(path) as peer:
            assert peer.recv(100) == b"old.example\n"
        assert starts(running) == 1
        assert running.terminate() == 0


def test_a_signal_to_reload_waits_wherever_no_handler_is_in_place(socket_dir: Path) -> None:
    """SIGHUP's default is to end the process, and a manager takes that for a clean end."""
    config, path = socket_dir / "chatmail.ini", socket_dir / "talk"
    write_config(config, "old.example")
    with daemon([SCRIPT, "--config", str(config), "--talk-socket", str(path)]) as running:
        poll(lambda: starts(running) == 1, "the start")
        for number in range(300):
            write_config(config, f"number{number}.example")
            running.process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
            assert running.process.poll() is None
        poll(lambda: starts(running) > 2, "several starts")
        write_config(config, "last.example")
        before = starts(running)
        running.process.send_signal(signal.SIGHUP)
        poll(lambda: starts(running) > before, "the last start")
        with connect(path) as peer:
            poll(lambda: peer.recv(100) == b"last.example\n" or bool(starts(running)), "an answer")
        assert running.terminate() == 0


@pytest.mark.parametrize("together", [True, False])
def test_who_is_to_end_while_it_reloads_ends(socket_dir: Path, together: bool) -> None:
    config, path = socket_dir / "chatmail.ini", socket_dir / "talk"
    write_config(config, "old.example")
    with daemon([SCRIPT, "--config", str(config), "--talk-socket", str(path)]) as running:
        poll(lambda: starts(running) == 1, "the start")
        with connect(path) as busy:
            busy.sendall(b"wait\n")
            poll(lambda: b"waiting" in busy.recv(100), "that it waits")
            running.process.send_signal(signal.SIGHUP)
            if not together:
                poll(lambda: b"done" in busy.recv(100), "that it ends what is under way")
            running.process.send_signal(signal.SIGTERM)
            # By its own doing, or by the signal before its handler was in place.
            assert running.wait() in (0, -signal.SIGTERM)


def test_a_signal_to_reload_does_not_keep_it_from_ending(socket_dir: Path) -> None:
    config, path = socket_dir / "chatmail.ini", socket_dir / "talk"
    write_config(config, "old.example")
    with daemon([SCRIPT, "--config", str(config), "--talk-socket", str(path)]) as running:
        poll(lambda: starts(running) == 1, "the start")
        for _ in range(3):
            running.process.send_signal(signal.SIGTERM)
            running.process.send_signal(signal.SIGHUP)
        assert running.wait() == 0
        assert starts(running) == 1


def test_a_socket_that_a_reload_cannot_move_is_named(socket_dir: Path) -> None:
    config, path = socket_dir / "chatmail.ini", socket_dir / "talk"
    write_config(config, "old.example")
    listener = open_unix(path)
    command = [SCRIPT, "--config", str(config), "--talk-socket", str(socket_dir / "other")]
    with (
        contextlib.closing(listener),
        daemon(command, sockets={"talk-socket": listener}) as running,
    ):
        poll(lambda: starts(running) == 1, "the start")
        assert f"talk-socket listens on {path} and not on {socket_dir}/other" in running.log
        assert running.terminate() == 0
