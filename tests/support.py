"""Waiting with a deadline, a dict client, and daemons as subprocesses."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

DEADLINE = 30.0
"""Seconds after which what should have happened is a failure; far above what anything takes."""
HELLO = b"H3\t2\t0\t\tauth\n"
"""What Dovecot 2.3.19 begins with."""


def poll(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds, in a test without a loop; what never came fails the test."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.005)


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds, while the loop turns."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"never came: {what}"
        await asyncio.sleep(0.005)


def fill(disk: Path) -> Path:
    """Leave no octet free on a small file system; the file that takes them all."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError):
        ballast.write_bytes(bytes(1 << 24))
    assert os.statvfs(disk).f_bavail == 0
    return ballast


class DictClient:
    """Dovecot's side of a dict connection, a line at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send octets as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def line(self) -> bytes:
        """The next line of the answer, empty at the end of the connection."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.readline()

    async def ask(self, command: bytes) -> bytes:
        """Send one command, get one line."""
        await self.send(command + b"\n")
        return await self.line()

    async def is_closed(self) -> bool:
        """Whether the server says no more and ends the connection."""
        try:
            return await self.line() == b""
        except ConnectionError:
            return True


@contextlib.asynccontextmanager
async def dict_client(path: Path, *, greet: bool = True) -> AsyncIterator[DictClient]:
    """Connect to a dict server, and say hello to it."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=64 << 20)
    try:
        client = DictClient(reader, writer)
        if greet:
            await client.send(HELLO)
        yield client
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class Daemon:
    """A daemon started by its command line, and what it writes to standard error."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self._lines.extend(iter(self.process.stderr.readline, ""))

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return "".join(self._lines)

    def wait_for_log(self, text: str) -> None:
        """Wait until it has logged `text`; a daemon that has ended fails the test at once."""
        poll(lambda: text in self.log or not self._reader.is_alive(), f"{text!r} in its log")
        assert text in self.log

    def terminate(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code


@contextlib.contextmanager
def daemon(
    arguments: list[str],
    environ: dict[str, str] | None = None,
    sockets: dict[str, socket.socket] | None = None,
) -> Iterator[Daemon]:
    """Run `python ARGUMENTS`, with `sockets` passed as systemd passes them; kill it at the end."""
    inherited = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    command, passed = [sys.executable, *arguments], list((sockets or {}).values())
    if sockets:
        command = [sys.executable, "-c", _PASS, *(str(s.fileno()) for s in passed), "--", *command]
        inherited["LISTEN_FDNAMES"] = ":".join(sockets)
    process = subprocess.Popen(
        command,
        env=inherited | (environ or {}),
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[s.fileno() for s in passed],
    )
    started = Daemon(process)
    try:
        yield started
    finally:
        process.kill()
        started.wait()
        assert process.stderr is not None
        process.stderr.close()


# What systemd does between fork and exec: sockets from 3 on, and the variables that name them.
_PASS = """
import fcntl, os, sys
end = sys.argv.index("--")
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1:end]]
for place, fd in enumerate(high):
    os.dup2(fd, 3 + place, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)))
os.execv(sys.argv[end + 1], sys.argv[end + 1:])
"""
