"""Loopback ports: the known ones where they are free, so that a login works again next time."""

import contextlib
import random
import socket
from collections.abc import Iterable, Iterator, Mapping

LOOPBACK = "127.0.0.1"
PREFERRED = {
    "imap": 10143,
    "imaps": 10993,
    "smtp": 10525,
    "smtps": 10465,
    "submission": 10587,
    "filtermail@outgoing": 10080,
    "filtermail@incoming": 10081,
    "gateway": 10880,
}
# Below the range of outgoing connections (ip_local_port_range), whose next one could take a port
# between our look and the daemon's bind.
_CANDIDATES = range(20000, 32000)


def choose_ports(preferred: Mapping[str, int] | None, names: Iterable[str]) -> dict[str, int]:
    """A free port for each of `names`: its preferred one, or else any."""
    chosen: dict[str, int] = {}
    candidates = _shuffled()
    for name in names:
        wish = preferred.get(name) if preferred else None
        if wish is not None and is_free(wish):
            chosen[name] = wish
        else:
            chosen[name] = next(port for port in candidates if is_free(port))
    return chosen


def _shuffled() -> Iterator[int]:
    ports = list(_CANDIDATES)
    random.shuffle(ports)
    return iter(ports)


def is_free(port: int) -> bool:
    """Whether a daemon could listen on this loopback port now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
