"""The client's side of a dialogue with the proxy: raw octets out, whole replies in."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from relay.smtp.datastream import stuff
from tests.support import DEADLINE

EHLO = b"EHLO [127.0.0.1]\r\n"
DATA = b"DATA\r\n"


class Reply(NamedTuple):
    """An SMTP reply."""

    code: int
    text: str
    """Its lines, joined by newlines."""


def envelope(sender: str, *recipients: str, parameters: str = "") -> bytes:
    """MAIL and RCPT commands."""
    lines = [f"MAIL FROM:<{sender}>{parameters}", *(f"RCPT TO:<{each}>" for each in recipients)]
    return "".join(f"{line}\r\n" for line in lines).encode()


def wire(content: bytes) -> bytes:
    """A message as it goes over the wire, with its final dot."""
    return stuff(content) + b".\r\n"


class Client:
    """A connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Client":
        """Connect, and read the greeting."""
        async with asyncio.timeout(DEADLINE):
            client = cls(*await asyncio.open_connection("127.0.0.1", port))
        assert (await client.reply()).code == 220
        return client

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(DEADLINE):
            self.writer.write(data)
            await self.writer.drain()

    async def reply(self) -> Reply:
        """The next reply; an EOFError where there is none any more."""
        lines = []
        async with asyncio.timeout(DEADLINE):
            while True:
                line = (await self.reader.readuntil(b"\r\n")).decode()
                lines.append(line[4:-2])
                if line[3] == " ":
                    return Reply(int(line[:3]), "\n".join(lines))

    async def replies(self, count: int) -> list[int]:
        """The codes of the next replies."""
        return [(await self.reply()).code for _ in range(count)]

    async def say(self, data: bytes) -> Reply:
        """Send one command or the rest of a message; the reply."""
        await self.send(data)
        return await self.reply()

    async def begin(self, sender: str, *recipients: str, parameters: str = "") -> None:
        """Open a transaction up to the 354."""
        await self.send(EHLO + envelope(sender, *recipients, parameters=parameters) + DATA)
        assert await self.replies(3 + len(recipients)) == [250] * (2 + len(recipients)) + [354]

    async def submit(self, content: bytes, sender: str, recipients: Sequence[str]) -> Reply:
        """Send a message; the reply that decides over it, be it to DATA or to the final dot."""
        await self.send(EHLO + envelope(sender, *recipients) + DATA)
        assert await self.replies(2 + len(recipients)) == [250] * (2 + len(recipients))
        reply = await self.reply()
        return reply if reply.code != 354 else await self.say(wire(content))

    async def ended(self) -> bytes:
        """Wait until the other side has hung up; what it said before."""
        async with asyncio.timeout(DEADLINE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def vanish(self) -> None:
        """Break the connection off."""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.vanish()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return
