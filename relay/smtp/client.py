"""SMTP connections to another server: a thin asyncio edge over `relay.smtp.reply`.

A transaction is opened with one write, MAIL, RCPT and DATA pipelined (RFC 2920), and costs one
round trip. The message then goes out as it comes. A connection that is dropped before its final dot
makes the other side discard what it had got (RFC 5321, 4.1.1.4).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self, cast

from relay.smtp.reply import BadReply, Reply, ReplyReader
from relay.smtp.watch import Watch

CLOSING = 421
"""A server that says so hangs up next, at any command (RFC 5321, 3.8)."""
_HIGH_WATER = 256 * 1024


class Unavailable(Exception):
    """The other side cannot be reached or did not keep its time.

    Before the final dot nothing was accepted. After it, the message may have been: whoever sends
    it again risks a second copy, which is better than none.
    """


class Refused(Exception):
    """The other side refused the transaction; `reply` is its own."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


@dataclass(slots=True)
class Patience:
    """How long the other side may take, in seconds."""

    opening: float
    """To answer a connection, its greeting, and a transaction."""
    stall: float
    """To take in what is buffered for it."""
    verdict: float
    """To reply to the final dot."""


Connect = Callable[[Callable[[], "Connection"]], Awaitable[object]]
"""Connects a protocol: a loop's `create_connection`, or that for unix sockets, arguments bound."""


class Connection(asyncio.Protocol):
    """One connection. Its owner calls one method at a time."""

    def __init__(self, watch: Watch, patience: Patience) -> None:
        self._watch = watch
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._replies: list[Reply] = []
        self._fault = ""
        self._closing = False
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._writable = True
        self._transport: asyncio.Transport
        self._extensions: set[str] = set()
        self.idle_since = 0.0

    @classmethod
    async def open(cls, connect: Connect, helo: str, watch: Watch, patience: Patience) -> Self:
        """Connect and greet; raises OSError, Unavailable."""
        connection = cls(watch, patience)
        await connect(lambda: connection)
        try:
            await connection._greeting()
            connection._send(f"EHLO {helo}\r\n")
            greeting = await connection._greeting()
        except BaseException:
            connection.drop()
            raise
        connection._extensions = {line.split(" ")[0].upper() for line in greeting.lines[1:]}
        return connection

    @property
    def alive(self) -> bool:
        """Whether the other side has, as far as is known, not hung up."""
        return not (self._fault or self._replies)

    @property
    def congested(self) -> bool:
        """Whether what was written waits for the other side to take it in; see `drain`."""
        return not self._writable

    async def begin(
        self, sender: str, parameters: Sequence[str], recipients: Sequence[str]
    ) -> None:
        """Open a transaction up to the 354; raises Refused, Unavailable.

        If any recipient is refused the whole message is: the client sent one message, and is to
        hear of it (Postfix: SMTPD_PROXY_README, on speed_adjust).
        """
        known = [p for p in parameters if p.partition("=")[0] in self._extensions | {"BODY"}]
        mail = " ".join([f"MAIL FROM:<{sender}>", *known]) + "\r\n"
        rcpts = [f"RCPT TO:<{recipient}>\r\n" for recipient in recipients]
        if "PIPELINING" in self._extensions:
            self._send("".join([mail, *rcpts, "DATA\r\n"]))
            replies = await self._take(len(rcpts) + 2)
            # One refusal entails others: with every RCPT at 450, Postfix refuses DATA with 554.
            _check(replies[:1], 2)
            _check(replies[1:-1], 2)
            _check(replies[-1:], 3)
        else:
            _check(await self._ask(mail), 2)
            _check([reply for rcpt in rcpts for reply in await self._ask(rcpt)], 2)
            _check(await self._ask("DATA\r\n"), 3)

    def write(self, data: bytes) -> None:
        """Pass on a piece of the message. While `congested`, await `drain` before the next."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the other side has taken in what was written; raises Unavailable."""
        while not (self._writable or self._fault):
            await self._wait(self._patience.stall, "it takes in no more data")
        self._check_silence()

    async def end(self, data: bytes) -> Reply:
        """Pass on the last piece and the final dot; the reply. Raises Unavailable."""
        self._check_silence()
        self._transport.write(data + b".\r\n")
        (reply,) = await self._take(1, self._patience.verdict, "it gives no reply to the message")
        if reply.code // 100 not in (2, 4, 5):
            raise Unavailable("it spoke no SMTP")
        return reply

    def drop(self) -> None:
        """Hang up, at once and without a word; an unfinished message is discarded."""
        self._fault = self._fault or "it was dropped"
        self._transport.abort()

    def close(self) -> None:
        """Take leave of an idle connection."""
        if self.alive:
            self._transport.write(b"QUIT\r\n")
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio says."""
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        self._watch.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """As asyncio says."""
        self._watch.discard(self)
        self._fail("it hung up")

    def data_received(self, data: bytes) -> None:
        """As asyncio says."""
        try:
            self._replies += self._reader.feed(data)
        except BadReply:
            self._fail("it spoke no SMTP")
            self._transport.abort()
            return
        for reply in self._replies:
            if reply.code == CLOSING:
                self._closing = True
        if self._closing or 0 < self._wanted <= len(self._replies):
            self._wake()

    def pause_writing(self) -> None:
        """As asyncio says."""
        self._writable = False

    def resume_writing(self) -> None:
        """As asyncio says."""
        self._writable = True
        self._wake()

    def look(self, now: float) -> None:
        """Wake the owner where the other side has taken too long."""
        if now >= self._deadline and self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    def _send(self, text: str) -> None:
        self._transport.write(text.encode())

    def _check_silence(self) -> None:
        """A reply that nobody asked for can only be the end, or a mistake."""
        if self._fault or self._replies:
            raise Unavailable(self._fault or "it replied before the message had ended")

    async def _ask(self, line: str) -> list[Reply]:
        self._send(line)
        return await self._take(1)

    async def _greeting(self) -> Reply:
        try:
            (reply,) = await self._take(1)
        except Refused as refused:
            reply = refused.reply
        if reply.code // 100 != 2:
            # Of the service, not of a message: for the client, temporary whatever the code.
            raise Unavailable(f"it greets with {reply.code}")
        return reply

    async def _take(self, count: int, seconds: float = 0.0, fault: str = "") -> list[Reply]:
        """The next `count` replies; raises Unavailable, and Refused where it is hanging up."""
        self._wanted = count
        while len(self._replies) < count and not (self._closing or self._fault):
            await self._wait(
                seconds or self._patience.opening, fault or "it does not answer in time"
            )
        self._wanted = 0
        replies, self._replies = self._replies[:count], self._replies[count:]
        for reply in replies:
            if reply.code == CLOSING:
                raise Refused(reply)
        if len(replies) < count:
            raise Unavailable(self._fault)
        return replies

    async def _wait(self, seconds: float, fault: str) -> None:
        """Wait to be woken; raises Unavailable with `fault` after so many seconds."""
        self._deadline = self._loop.time() + seconds
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except TimeoutError:
            raise Unavailable(fault) from None
        finally:
            self._waiter = None

    def _fail(self, fault: str) -> None:
        self._fault = self._fault or fault
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _check(replies: Sequence[Reply], positive: int) -> None:
    """Raise Refused where a reply is one, and Unavailable where it is of no fitting class."""
    if any(reply.code // 100 not in (positive, 4, 5) for reply in replies):
        raise Unavailable("it spoke no SMTP")
    refusals = [reply for reply in replies if not reply.accepts]
    if refusals:
        # What is permanent for one recipient is permanent for the message.
        raise Refused(next((r for r in refusals if r.code >= 500), refusals[0]))
