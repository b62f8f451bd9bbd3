"""Asks a daemon for its figures, on its metrics socket."""

import http.client
import socket
from http import HTTPStatus
from pathlib import Path

from postern.status.figures import Figure, NoFigures, read

SECONDS = 3.0
"""For each step of the answer; a daemon that is well takes milliseconds."""
MAX_OCTETS = 4 << 20
_PATH = "/metrics"
"""`relay.life.metrics.PATH`, repeated: that module loads the metrics library."""


class Silent(Exception):
    """A part of the relay has not answered; the message says why."""


class _OverUnix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def ask(path: Path) -> list[Figure]:
    """The figures that a daemon reports at `path`; raises Silent."""
    try:
        return read(_fetched(path))
    except (http.client.HTTPException, UnicodeDecodeError, NoFigures):
        reason = f"{path} is not a metrics socket"
    except PermissionError:
        reason = f"only root may connect to {path}: use sudo"
    except (FileNotFoundError, NotADirectoryError):
        reason = f"there is no {path}: it has not been started"
    except ConnectionRefusedError:
        reason = f"nothing listens at {path}"
    except TimeoutError:
        reason = f"no answer at {path} within {SECONDS:g} s: it hangs, or cannot start"
    except OSError as error:
        reason = f"{path}: {error.strerror or type(error).__name__}"
    raise Silent(reason)


def _fetched(path: Path) -> str:
    connection = _OverUnix(path)
    try:
        connection.request("GET", _PATH)
        answer = connection.getresponse()
        body = answer.read(MAX_OCTETS)
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise NoFigures(f"HTTP status {answer.status}")
    return body.decode("utf-8")
