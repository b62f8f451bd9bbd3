"""Daemons of a sandbox whose listening sockets outlive them, as on a host.

There systemd holds the sockets (systemd.socket(5)), so that clients of a daemon which is being
started again wait in the backlog. A sandbox alone lets each daemon open its own.
"""

import dataclasses
import fcntl
import socket
from collections.abc import Mapping
from pathlib import Path

from relay.life.sockets import FIRST_FD, open_tcp, open_unix
from relay.owner import Owner
from sandbox.layout import MAILBOXES_USER
from sandbox.ports import LOOPBACK
from sandbox.process import Spec
from sandbox.relay import Sandbox

_CLEAR = 20
"""Descriptors from here on are in nobody's way; bash moves them to 3 (dash takes one digit)."""


def hold_sockets(sandbox: Sandbox) -> None:
    """Start the daemons that `listeners` names again, on sockets that this process keeps open."""
    for name, where in listeners(sandbox).items():
        sandbox.kill(name)
        held = {label: _open(place) for label, place in where.items()}
        daemon = sandbox.daemons[name]
        daemon.spec = _inheriting(daemon.spec, held)
        sandbox.restart(name)


def listeners(sandbox: Sandbox) -> dict[str, dict[str, Path | int]]:
    """The sockets of each of our daemons, by their systemd names: a path or a loopback port."""
    sockets, ports = sandbox.layout.sockets, sandbox.ports
    return {
        "filtermail@outgoing": {"smtp": ports["filtermail@outgoing"]},
        "filtermail@incoming": {"smtp": ports["filtermail@incoming"]},
        "doveauth": {
            f"{each}-socket": sockets / f"{each}.socket" for each in ("lookups", "last-login")
        },
        "metadata": {
            "socket": sockets / "metadata.socket",
            "notify-socket": sockets / "notify.socket",
        },
    }


def _open(place: Path | int) -> int:
    """Listen there; a descriptor that stays open until this process ends."""
    listener: socket.socket
    if isinstance(place, int):
        listener = open_tcp(LOOPBACK, place)
    else:
        listener = open_unix(place, Owner.named(MAILBOXES_USER))
    with listener:
        return fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, _CLEAR)


def _inheriting(spec: Spec, held: Mapping[str, int]) -> Spec:
    """The daemon, passed its sockets as systemd passes them (sd_listen_fds(3))."""
    moved = " ".join(f"{FIRST_FD + at}<&{fd}" for at, fd in enumerate(held.values()))
    passed = f"LISTEN_PID=$$ LISTEN_FDS={len(held)} LISTEN_FDNAMES={':'.join(held)}"
    command = ("bash", "-c", f'{passed} exec "$@" {moved}', "bash", *spec.command)
    return dataclasses.replace(spec, command=command, descriptors=tuple(held.values()))
