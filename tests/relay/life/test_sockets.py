"""Listening sockets that are opened here, and what is said where they cannot be had."""

import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from relay.life.sockets import SocketUnavailable, from_systemd, open_tcp, open_unix
from relay.owner import Owner


def test_a_unix_socket_is_for_its_user_and_group(socket_dir: Path) -> None:
    owner = Owner.named("nobody") if os.geteuid() == 0 else Owner(os.geteuid(), os.getegid())
    with contextlib.closing(open_unix(socket_dir / "s", owner)) as listener:
        status = (socket_dir / "s").stat()
        assert stat.S_IMODE(status.st_mode) == 0o660
        assert (status.st_uid, status.st_gid) == (owner.uid, owner.gid)
        assert not listener.getblocking()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(socket_dir: Path) -> None:
    path = socket_dir / "s"
    open_unix(path).close()
    with contextlib.closing(open_unix(path)):
        with pytest.raises(SocketUnavailable, match="another process answers there; stop it"):
            open_unix(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(path))


def test_a_process_that_hangs_does_not_hang_the_next_one(
    socket_dir: Path,
) -> None:
    path = socket_dir / "s"
    with contextlib.ExitStack() as stack:
        hung = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        hung.bind(str(path))
        hung.listen(0)
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        waiting.connect(str(path))
        with pytest.raises(SocketUnavailable, match="another process hangs there; end it first"):
            open_unix(path)
        assert path.is_socket()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none/s", "No such file or directory"), ("x" * 200, "AF_UNIX path too long")],
)
def test_a_path_that_cannot_be_is_named(socket_dir: Path, name: str, reason: str) -> None:
    with pytest.raises(SocketUnavailable, match=f"cannot listen on .*{name}: {reason}"):
        open_unix(socket_dir / name)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_busy_port_is_named_with_the_way_to_find_who_has_it(host: str) -> None:
    with contextlib.closing(open_tcp(host, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SocketUnavailable, match=rf"{port}: Address already in use.*ss -ltnp"):
            open_tcp(host, port)


def test_a_port_is_free_again_at_once(socket_dir: Path) -> None:
    listener = open_tcp("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        accepted, _ = listener.accept()
        accepted.close()
        listener.close()
    open_tcp("127.0.0.1", port).close()


def test_without_systemd_no_socket_comes_and_the_variables_are_gone() -> None:
    assert from_systemd({}) == {}
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "OTHER": "x"}
    assert from_systemd(environ) == {}
    assert environ == {"OTHER": "x"}
