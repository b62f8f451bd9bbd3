"""The client side of the proxy: pooled SMTP connections into Postfix' reinject service.

A transaction is opened with one write, MAIL, RCPT and DATA pipelined (RFC 2920), and costs one
round trip. A connection that was used before may have died since, silently: if it fails before
any octet of a message went into it, the transaction is opened again on a new one, and the client
notices nothing. Once octets went in it never is: nothing is delivered twice.

A connection that is dropped before its final dot makes Postfix discard what it had got.
"""

import asyncio
import os
import re
from collections.abc import Callable, Sequence

from filtermail.gate.verdict import Reply

MAX_CONNECTIONS = 100
"""At a time: Postfix' default_process_limit, which is what answers on the other side."""
MAX_IDLE = 10
"""Connections kept for the next message while none waits, each of which holds one smtpd."""
IDLE_SECONDS = 20.0
"""How long; far below Postfix' smtpd_timeout of 300 s."""
OPEN_SECONDS = 15.0
"""For a connection and a transaction on it to be opened."""
STALL_SECONDS = 10.0
"""For the other side to take in what is buffered for it."""
VERDICT_SECONDS = 30.0
"""For the reply to the final dot; together under the 60 s after which clients give up."""
MAX_REPLY_LINES = 100
_HIGH_WATER = 256 * 1024
# RFC 5321, 4.2.
_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r]*))?")
CLOSING = 421
"""Whoever says so hangs up next, at any command (RFC 5321, 3.8)."""


class Unavailable(Exception):  # noqa: N818 - the state that it reports
    """The reinject side cannot be had or did not keep its time; nothing was accepted by it."""


class Refused(Exception):  # noqa: N818 - the state that it reports
    """The reinject side refused the transaction; `reply` is its own."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


class Connection:
    """One SMTP connection to the reinject side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._extensions: set[str] = set()
        self.idle_since = 0.0

    @classmethod
    async def open(cls, host: str, port: int, helo: str) -> "Connection":
        """Connect and greet; raises OSError or Unavailable."""
        reader, writer = await asyncio.open_connection(host, port)
        writer.transport.set_write_buffer_limits(high=_HIGH_WATER)
        connection = cls(reader, writer)
        try:
            await connection._greeting()
            writer.write(f"EHLO {helo}\r\n".encode())
            greeting = await connection._greeting()
        except BaseException:
            connection.drop()
            raise
        connection._extensions = {line.split(" ")[0].upper() for line in greeting.lines[1:]}
        return connection

    @property
    def alive(self) -> bool:
        """Whether the other side has, as far as is known, not hung up."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def begin(
        self, sender: str, parameters: Sequence[str], recipients: Sequence[str]
    ) -> None:
        """Open a transaction up to the 354; raises Refused, Unavailable, OSError.

        If any recipient is refused the whole message is: the client sent one message, and is to
        hear of it (Postfix: SMTPD_PROXY_README, on speed_adjust).
        """
        known = [p for p in parameters if p.partition("=")[0] in self._extensions | {"BODY"}]
        mail = " ".join([f"MAIL FROM:<{sender}>", *known])
        rcpts = [f"RCPT TO:<{recipient}>" for recipient in recipients]
        pipelined = "PIPELINING" in self._extensions
        if pipelined:
            self._send(mail, *rcpts, "DATA")
        # One refusal entails others: once every RCPT got its 450, Postfix refuses DATA with 554.
        for lines, positive in (([mail], 2), (rcpts, 2), (["DATA"], 3)):
            refusals = []
            for line in lines:
                if not pipelined:
                    self._send(line)
                reply = await self._reply(positive)
                if reply.code == CLOSING:
                    raise Refused(reply)
                if not reply.accepts:
                    refusals.append(reply)
            if refusals:
                # What is permanent for one recipient is permanent for the message.
                raise Refused(next((r for r in refusals if r.code >= 500), refusals[0]))

    async def write(self, data: bytes) -> None:
        """Pass on a piece of the message; raises Unavailable."""
        self._writer.write(data)
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._writer.drain()
        except TimeoutError:
            raise Unavailable("it takes in no more data") from None
        except OSError:
            raise Unavailable("it hung up") from None

    async def end(self, data: bytes) -> Reply:
        """Pass on the last piece and the final dot; the reply. Raises Unavailable."""
        self._writer.write(data + b".\r\n")
        try:
            async with asyncio.timeout(VERDICT_SECONDS):
                return await self._reply(2)
        except TimeoutError:
            raise Unavailable("it gives no reply to the message") from None
        except OSError:
            raise Unavailable("it hung up") from None

    def drop(self) -> None:
        """Hang up, at once and without a word; an unfinished message is discarded."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Take leave of an idle connection."""
        self._writer.write(b"QUIT\r\n")
        self._writer.close()

    def _send(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def _greeting(self) -> Reply:
        reply = await self._reply(2)
        if not reply.accepts:
            # Of the service, not of a message: for the client, temporary whatever the code.
            raise Unavailable(f"it greets with {reply.code}")
        return reply

    async def _reply(self, positive: int) -> Reply:
        """The next reply, of the class `positive` (its first digit) or a refusal."""
        lines: list[str] = []
        while len(lines) < MAX_REPLY_LINES:
            try:
                line = (await self._reader.readuntil(b"\n")).rstrip()
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                raise Unavailable("it hung up or spoke no SMTP") from None
            match = _REPLY_LINE.fullmatch(line)
            if match is None or int(match[1][:1]) not in (positive, 4, 5):
                raise Unavailable("it spoke no SMTP")
            lines.append((match[3] or b"").decode("utf-8", "replace"))
            if match[2] != b"-":
                return Reply(int(match[1]), tuple(lines))
        raise Unavailable("its reply does not end")


class Pool:
    """Connections to one reinject service, opened as needed and re-used."""

    def __init__(self, host: str, port: int, helo: str, clock: Callable[[], float]) -> None:
        self._host, self._port, self._helo = host, port, helo
        self._clock = clock
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[Connection] = []

    async def begin(
        self, sender: str, parameters: Sequence[str], recipients: Sequence[str]
    ) -> Connection:
        """A connection on which the transaction is open; raises Refused, Unavailable.

        The caller gives it back with `release`, in any event.
        """
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._free.acquire()
                try:
                    return await self._begin(sender, parameters, recipients)
                except BaseException:
                    self._free.release()
                    raise
        except TimeoutError:
            raise Unavailable("it does not answer in time") from None
        except OSError as error:
            # asyncio's own text for one and the same error has an address in it, or has not.
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            raise Unavailable(f"it cannot be reached: {why}") from None

    async def _begin(
        self, sender: str, parameters: Sequence[str], recipients: Sequence[str]
    ) -> Connection:
        while True:
            connection = self._take_idle()
            fresh = connection is None
            if connection is None:
                connection = await Connection.open(self._host, self._port, self._helo)
            try:
                await connection.begin(sender, parameters, recipients)
            except BaseException as error:
                connection.drop()
                gone = isinstance(error, Unavailable | OSError) or (
                    isinstance(error, Refused) and error.reply.code == CLOSING
                )
                if fresh or not gone:
                    raise
            else:
                return connection

    def _take_idle(self) -> Connection | None:
        self._expire()
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
            connection.drop()
        return None

    def release(self, connection: Connection, *, clean: bool) -> None:
        """Give a connection back; one that is not `clean`, between transactions, is dropped."""
        wanted = len(self._idle) < MAX_IDLE or self._free.locked()
        self._free.release()
        if clean and connection.alive and wanted:
            connection.idle_since = self._clock()
            self._idle.append(connection)
        else:
            connection.drop()

    def _expire(self) -> None:
        oldest = self._clock() - IDLE_SECONDS
        for connection in self._idle:
            if connection.idle_since < oldest:
                connection.close()
        self._idle = [c for c in self._idle if c.idle_since >= oldest]

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
