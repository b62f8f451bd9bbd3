"""Whether a daemon answers: each probe speaks as its client would and reads the first words."""

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from sandbox.ports import LOOPBACK

Probe = Callable[[], bool]
SECONDS = 2.0


def greets(port: int, greeting: bytes, *, tls: bool = False) -> Probe:
    """A probe of a service that speaks first, with `greeting`."""

    def probe() -> bool:
        with contextlib.suppress(OSError), _connect(port, tls) as connection:
            return connection.recv(512).startswith(greeting)
        return False

    return probe


def greets_on_socket(path: Path, greeting: bytes) -> Probe:
    """A probe of a service on a unix socket that speaks first, with `greeting`."""

    def probe() -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(path))
            return connection.recv(512).startswith(greeting)
        return False

    return probe


def answers_http(port: int) -> Probe:
    """A probe of an HTTP server."""

    def probe() -> bool:
        with contextlib.suppress(OSError), _connect(port, tls=False) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(512).startswith(b"HTTP/1.")
        return False

    return probe


def answers_dict(*paths: Path) -> Probe:
    """A probe of dict servers (Dovecot's dict protocol): each answers a look-up of no key."""

    def probe() -> bool:
        return all(_answers_lookup(path) for path in paths)

    return probe


def _answers_lookup(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(b"H3\t2\t0\t\tprobe\nLshared/probe\t\n")
        return connection.recv(512)[:1] in (b"N", b"O", b"F")
    return False


def _connect(port: int, tls: bool) -> socket.socket:
    connection = socket.create_connection((LOOPBACK, port), timeout=SECONDS)
    if not tls:
        return connection
    try:
        return client_context().wrap_socket(connection)
    except OSError:
        connection.close()
        raise


def client_context() -> ssl.SSLContext:
    """TLS towards the sandbox, whose certificate nobody but itself has signed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
