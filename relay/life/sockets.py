"""Listening sockets: passed in by systemd, or opened here.

systemd's own are preferred because they outlive a restart: no connection is refused while a
daemon is being replaced (systemd.socket(5), sd_listen_fds(3)).
"""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from relay.owner import Owner

BACKLOG = 1024
"""Connections the kernel holds until they are accepted; a burst of logins fills a small one."""
FIRST_FD = 3
"""Where passed sockets begin (sd_listen_fds(3))."""
_KEEP_SOCKET_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""From Python 3.13 on, asyncio's unix servers remove their socket's file when they close. The file
may be systemd's, which would go on listening where nobody finds it."""


class SocketUnavailable(Exception):
    """A listening socket is not available; the message names it and the mend."""


def from_systemd(environ: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """Return the sockets that systemd passes, by name (`FileDescriptorName=`).

    The variables are removed, so that no child takes the sockets for its own.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "0")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()):
        return {}
    sockets = {}
    for number in range(int(count)):
        listener = socket.socket(fileno=FIRST_FD + number)
        listener.setblocking(False)
        os.set_inheritable(listener.fileno(), False)
        sockets[names[number] if number < len(names) else str(number)] = listener
    return sockets


def open_tcp(host: str, port: int) -> socket.socket:
    """Listen on a TCP port (0: any free one); raises SocketUnavailable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SocketUnavailable(
            f"cannot listen on {host}:{port}: {error.strerror}; who does: ss -ltnp sport = {port}"
        ) from None
    listener.setblocking(False)
    return listener


def open_unix(path: Path, owner: Owner | None = None) -> socket.socket:
    """Listen on a unix socket that its user and group may reach; raises SocketUnavailable.

    A socket that a dead process left behind is replaced; one that is answered is not.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(0o660)
        if owner is not None:
            owner.take(path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SocketUnavailable(f"cannot listen on {path}: {error.strerror or error}") from None
    listener.setblocking(False)
    return listener


async def serve(
    factory: Callable[[], asyncio.BaseProtocol], listener: socket.socket
) -> asyncio.AbstractServer:
    """Accept connections from `listener`, TCP or unix, each with a protocol of its own."""
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(
            factory, sock=listener, backlog=BACKLOG, **_KEEP_SOCKET_FILE
        )
    return await loop.create_server(factory, sock=listener, backlog=BACKLOG)


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # connect(2) on a unix socket never takes time but for a full backlog, which is EAGAIN then.
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            raise OSError(errno.EADDRINUSE, "another process hangs there; end it first") from None
    raise OSError(errno.EADDRINUSE, "another process answers there; stop it first")
