"""SMTP and LMTP on sockets: what the edge adds to the machine.

More is in tests/filtermail/proxy, where the edge is part of a whole daemon.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from relay.life.sockets import open_tcp, serve
from relay.smtp.commands import Rules, Transaction
from relay.smtp.reply import Reply
from relay.smtp.server import CHUNK, Server, Source
from relay.smtp.watch import Watch
from tests.support import DEADLINE, eventually

RULES = Rules("relay.example", 10_000_000)
LMTP = Rules("relay.example", 10_000_000, lmtp=True)
TO = b"RCPT TO:<%s@relay.example>\r\n"
OPENING = b"MAIL FROM:<a@other.example>\r\n" + TO % b"b" + TO % b"c" + b"DATA\r\n"
LETTER = b"Subject: hi\r\n\r\nhello\r\n.\r\n"

Deliver = Callable[[Source, Transaction], Awaitable[Sequence[Reply]]]


async def whole(source: Source) -> bytes:
    """Read a message to its end."""
    content = b""
    while True:
        piece = await source.read()
        content += piece.content
        if piece.ended:
            return content


class Talk:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def codes(self, count: int) -> list[int]:
        """The codes of the next replies, a reply of several lines once."""
        found: list[int] = []
        async with asyncio.timeout(DEADLINE):
            while len(found) < count:
                line = await self._reader.readuntil(b"\r\n")
                if line[3:4] == b" ":
                    found.append(int(line[:3]))
        return found


@asynccontextmanager
async def running(rules: Rules, deliver: Deliver) -> AsyncIterator[Talk]:
    """A server, and a client that it has greeted."""
    server = Server(rules, deliver)
    listener = open_tcp("127.0.0.1", 0)
    accepting = await serve(server.session, listener)
    talk = Talk(*await asyncio.open_connection(*listener.getsockname()))
    assert await talk.codes(1) == [220]
    try:
        yield talk
    finally:
        talk.writer.close()
        accepting.close()
        await server.drain(DEADLINE)


async def test_lmtp_answers_for_each_recipient() -> None:
    async def deliver(source: Source, transaction: Transaction) -> Sequence[Reply]:
        assert await whole(source) == LETTER.removesuffix(b".\r\n")
        return [Reply(250, (str(path.address),)) for path in transaction.recipients[:1]] + [
            Reply(451, ("4.2.0 Full",))
        ]

    async with running(LMTP, deliver) as talk:
        talk.writer.write(b"LHLO x\r\n" + OPENING + LETTER + b"NOOP\r\n")
        assert await talk.codes(8) == [250, 250, 250, 250, 354, 250, 451, 250]


async def test_a_fault_is_a_temporary_answer_for_each_recipient() -> None:
    async def deliver(_source: Source, _transaction: Transaction) -> Sequence[Reply]:
        raise RuntimeError

    async with running(LMTP, deliver) as talk:
        talk.writer.write(b"LHLO x\r\n" + OPENING + LETTER + b"NOOP\r\n")
        assert await talk.codes(8) == [250, 250, 250, 250, 354, 451, 451, 250]


async def test_what_is_answered_early_is_read_to_its_dot() -> None:
    """And not taken for commands, though it may look like some."""
    answered = asyncio.Event()

    async def deliver(source: Source, _transaction: Transaction) -> Sequence[Reply]:
        await source.read()
        answered.set()
        return [Reply(523, ("no",))]

    async with running(RULES, deliver) as talk:
        talk.writer.write(b"EHLO x\r\n" + OPENING + b"Subject: hi\r\n")
        assert await talk.codes(5) == [250, 250, 250, 250, 354]
        async with asyncio.timeout(DEADLINE):
            await answered.wait()
        talk.writer.write(OPENING * 10_000 + b".\r\nQUIT\r\n")
        assert await talk.codes(2) == [523, 221]


async def test_a_client_is_not_read_from_faster_than_its_message_is() -> None:
    go = asyncio.Event()

    async def deliver(source: Source, _transaction: Transaction) -> Sequence[Reply]:
        await source.read()
        await go.wait()
        return [Reply(250, (str(len(await whole(source)) > CHUNK),))]

    async with running(RULES, deliver) as talk:
        transport = talk.writer.transport
        talk.writer.write(b"EHLO x\r\n" + OPENING)
        assert await talk.codes(5) == [250, 250, 250, 250, 354]
        talk.writer.write((b"x" * 78 + b"\r\n") * 100_000)
        sizes = [-1, transport.get_write_buffer_size()]
        while sizes[-1] != sizes[0]:
            await asyncio.sleep(0.02)
            sizes = [*sizes, transport.get_write_buffer_size()][-10:]
        assert sizes[-1] > 0, "it takes in no more than the kernel on the way holds"
        go.set()
        talk.writer.write(b".\r\n")
        assert await talk.codes(1) == [250]


async def test_nobody_to_look_at_is_no_timer() -> None:
    watch = Watch()

    class Member:
        looks = 0

        def look(self, now: float) -> None:
            self.looks += 1

    member = Member()
    watch.add(member)
    await eventually(lambda: member.looks > 0, "a look")
    watch.discard(member)
    seen = member.looks
    await asyncio.sleep(1.2)
    assert member.looks == seen
    assert watch._timer is None


@pytest.mark.parametrize("ending", [b"", b".\r\n"])
async def test_a_client_that_goes_ends_its_task(ending: bytes) -> None:
    ended = asyncio.Event()

    async def deliver(source: Source, _transaction: Transaction) -> Sequence[Reply]:
        try:
            await whole(source)
            await asyncio.Event().wait()
        finally:
            ended.set()
        return [Reply(250, ("Ok",))]

    async with running(RULES, deliver) as talk:
        talk.writer.write(b"EHLO x\r\n" + OPENING + b"Subject: hi\r\n" + ending)
        assert await talk.codes(5) == [250, 250, 250, 250, 354]
        await asyncio.sleep(0.05)
        talk.writer.transport.abort()
        async with asyncio.timeout(DEADLINE):
            await ended.wait()
