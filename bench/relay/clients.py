"""Clients of the load: submission and IMAP over TLS, as asyncio streams."""

import asyncio
import base64
import bisect
import contextlib
import time
from typing import Self

from bench.problem import BenchProblem
from sandbox.login import Login
from sandbox.ports import LOOPBACK
from sandbox.probes import client_context

SECONDS = 60.0
"""How long one answer may take."""
_TLS = client_context()


class Connection:
    """A TLS connection and what both clients need of it. Raises BenchProblem, TimeoutError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect."""
        async with asyncio.timeout(SECONDS):
            return cls(*await asyncio.open_connection(LOOPBACK, port, ssl=_TLS))

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def line(self) -> bytes:
        """The next line."""
        async with asyncio.timeout(SECONDS):
            line = await self.reader.readline()
        if not line:
            raise BenchProblem("the relay closed a connection")
        return line


class Submission(Connection):
    """A client that sends."""

    @classmethod
    async def log_in(cls, ports: dict[str, int], login: Login) -> Self:
        """Connect and authenticate."""
        client = await cls.open(ports["smtps"])
        await client._reply(b"220")
        await client._command(b"EHLO localhost", b"250")
        plain = base64.b64encode(f"\0{login.address}\0{login.password}".encode())
        await client._command(b"AUTH PLAIN " + plain, b"235")
        return client

    async def send(self, sender: str, recipient: str, letter: bytes) -> float:
        """Send a message. Return when its 250 was read (time.monotonic)."""
        await self._command(f"MAIL FROM:<{sender}>".encode(), b"250")
        await self._command(f"RCPT TO:<{recipient}>".encode(), b"250")
        await self._command(b"DATA", b"354")
        self.writer.write(letter)
        async with asyncio.timeout(SECONDS):
            await self.writer.drain()
        await self._command(b".", b"250")
        return time.monotonic()

    async def quit(self) -> None:
        """Say goodbye and hang up."""
        await self._command(b"QUIT", b"221")
        await self.close()

    async def _command(self, command: bytes, expected: bytes) -> None:
        self.writer.write(command + b"\r\n")
        await self._reply(expected)

    async def _reply(self, expected: bytes) -> None:
        while (line := await self.line())[3:4] == b"-":
            pass
        if not line.startswith(expected):
            raise BenchProblem(f"a message was answered {line[:120]!r}")


class Inbox(Connection):
    """A client that waits in IDLE; it notes when it learns of each message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._counts: list[int] = []
        self._times: list[float] = []
        self._changed = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def log_in(cls, ports: dict[str, int], login: Login) -> Self:
        """Connect and log in."""
        client = await cls.open(ports["imaps"])
        await client.line()
        await client.command(f'LOGIN "{login.address}" "{login.password}"')
        return client

    async def command(self, command: str) -> None:
        """One command and its answer."""
        self.writer.write(f"a {command}\r\n".encode())
        while not (line := await self.line()).startswith(b"a "):
            pass
        if not line.startswith(b"a OK"):
            raise BenchProblem(f"{command.split()[0]} was answered {line[:120]!r}")

    async def idle(self) -> None:
        """Enter IDLE (RFC 2177) in INBOX, which must be empty, and listen from now on."""
        await self.command("SELECT INBOX")
        self.writer.write(b"a IDLE\r\n")
        while not (await self.line()).startswith(b"+"):
            pass
        self._listening = asyncio.ensure_future(self._listen())

    async def wait_for(self, number: int) -> None:
        """Until the client knows of `number` messages."""
        async with asyncio.timeout(SECONDS):
            while not self._counts or self._counts[-1] < number:
                if self._listening and self._listening.done():
                    self._listening.result()
                    raise BenchProblem("the relay closed an idle connection")
                self._changed.clear()
                await self._changed.wait()

    def learned(self, number: int) -> float:
        """When the client learned that it has `number` messages (time.monotonic)."""
        return self._times[bisect.bisect_left(self._counts, number)]

    async def close(self) -> None:
        """Hang up."""
        if self._listening:
            self._listening.cancel()
        await super().close()

    async def _listen(self) -> None:
        while line := await self.reader.readline():
            words = line.split()
            if len(words) == 3 and words[2] == b"EXISTS":
                self._counts.append(int(words[1]))
                self._times.append(time.monotonic())
                self._changed.set()
        self._changed.set()
