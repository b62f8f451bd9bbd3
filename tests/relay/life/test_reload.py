"""SIGHUP: a new configuration comes into force, and nobody who connects meanwhile is refused."""

import os
import pwd
import signal
import socket
from pathlib import Path

from tests.support import DEADLINE, Daemon, daemon, poll

SCRIPT = str(Path(__file__).with_name("waiting_daemon.py"))


def write_config(path: Path, domain: str) -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    path.write_text(f"[params]\nmail_domain = {domain}\nmailboxes_user = {user}\n")


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
