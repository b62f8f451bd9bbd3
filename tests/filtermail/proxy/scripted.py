"""A stand-in for Postfix' reinject service: a small SMTP server that does at each step as told.

It is honest otherwise: without an accepted MAIL it takes no RCPT, without an accepted RCPT no
DATA, with the very replies of Postfix; and it writes down what it received.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field

END = b"\r\n.\r\n"
STEPS = ("banner", "EHLO", "MAIL", "RCPT", "DATA", "body", "dot")
"""`body` is when the first octets of a message come."""


@dataclass(frozen=True)
class Act:
    """What is done at a step instead of accepting; in the order of the fields."""

    until: asyncio.Event | None = None
    reply: bytes = b""
    silent: bool = False
    """Never go on; during `body`, not even take in what comes."""
    hang_up: bool = False


HANG_UP = Act(hang_up=True)
SILENCE = Act(silent=True)
GARBAGE = Act(reply=b"\x16\x03\x01 hello\r\n", hang_up=True)


def refuse(*lines: str, hang_up: bool = False) -> Act:
    """Reply with these lines."""
    return Act(reply="".join(f"{line}\r\n" for line in lines).encode(), hang_up=hang_up)


@dataclass
class Received:
    """One message, as far as it came."""

    sender: bytes
    """The whole MAIL command."""
    recipients: list[bytes]
    wire: bytearray = field(default_factory=bytearray)
    """Without the final dot, once that has come."""
    complete: bool = False
    """Whether the final dot came."""
    accepted: bool = False

    def take(self, piece: bytes) -> bytes:
        """Take the next octets; what comes behind the final dot."""
        searched = max(len(self.wire) - len(END), 0)
        self.wire += piece
        if self.wire.startswith(END[2:]):
            end = 0
        elif (found := self.wire.find(END, searched)) >= 0:
            end = found + 2
        else:
            return b""
        rest = bytes(self.wire[end + len(END) - 2 :])
        del self.wire[end:]
        self.complete = True
        return rest

    @property
    def content(self) -> bytes:
        """The message, its dots undone."""
        wire = bytes(self.wire)
        return wire.removeprefix(b".").replace(b"\r\n.", b"\r\n")

    @property
    def body(self) -> bytes:
        return self.content.partition(b"\r\n\r\n")[2]

    @property
    def headers(self) -> bytes:
        """The header block with its last CRLF."""
        head, _, _ = self.content.partition(b"\r\n\r\n")
        return head + b"\r\n"


class _HungUp(Exception):
    """Told to hang up, or the other side did."""


class Session:
    """One connection, and what came over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.commands: list[bytes] = []
        self.messages: list[Received] = []
        self.mail = b""
        self.recipients: list[bytes] = []
        self.ended = False

    def hang_up(self) -> None:
        self.writer.close()

    async def swallow(self) -> None:
        """Say nothing until the other side is gone."""
        while await self.reader.read(1 << 16):
            pass
        raise _HungUp


class Reinject:
    """The server: `at` sets what is done, `sessions` holds what came."""

    def __init__(self) -> None:
        self.pipelining = True
        self.sessions: list[Session] = []
        self.port = 0
        self.most_at_once = 0
        """Messages under way at a time."""
        self._under_way = 0
        self._acts: dict[str, deque[Act | None]] = {}
        self._always: dict[str, Act] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def at(self, step: str, *acts: Act | None) -> None:
        """At the next occurrences of `step`, on whatever connection, do `acts`; None: accept."""
        assert step in STEPS
        self._acts[step] = deque(acts)

    def always(self, step: str, act: Act) -> None:
        assert step in STEPS
        self._always[step] = act

    def behave(self) -> None:
        """Accept everything from now on."""
        self._acts.clear()
        self._always.clear()

    @property
    def messages(self) -> list[Received]:
        return [message for session in self.sessions for message in session.messages]

    def octets(self, at: int) -> int:
        """How much came of the message that was begun as the `at`th."""
        return len(self.messages[at].wire) if len(self.messages) > at else 0

    @property
    def completed(self) -> list[Received]:
        """The messages whose final dot came."""
        return [message for message in self.messages if message.complete]

    @property
    def accepted(self) -> list[Received]:
        return [message for message in self.messages if message.accepted]

    @property
    def ended(self) -> int:
        """How many connections have ended."""
        return sum(session.ended for session in self.sessions)

    @property
    def commands(self) -> list[bytes]:
        return [command for session in self.sessions for command in session.commands]

    def count(self, verb: bytes) -> int:
        """How often a command came."""
        return sum(command.startswith(verb) for command in self.commands)

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        session = Session(reader, writer)
        self.sessions.append(session)
        gone = (_HungUp, OSError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            await self._talk(session)
        session.ended = True
        self._tasks.discard(task)
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    async def _do(self, session: Session, step: str, usual: bytes) -> bytes:
        """Do what is set for a step; what was replied."""
        acts = self._acts.get(step)
        act = acts.popleft() if acts else self._always.get(step)
        act = act or Act(reply=usual)
        if act.until is not None:
            await act.until.wait()
        last = act.silent or act.hang_up
        reply = act.reply if last else act.reply or usual
        session.writer.write(reply)
        await session.writer.drain()
        if act.silent and step == "body":
            await asyncio.Event().wait()
        if act.silent:
            await session.swallow()
        if act.hang_up:
            raise _HungUp
        return reply

    async def _talk(self, session: Session) -> None:
        await self._do(session, "banner", b"220 reinject.example ESMTP\r\n")
        while True:
            line = await session.reader.readuntil(b"\n")
            session.commands.append(line)
            verb = line[:4].upper()
            if verb == b"QUIT":
                return
            await self._command(session, verb, line)

    async def _command(self, session: Session, verb: bytes, line: bytes) -> None:
        if verb == b"EHLO":
            extensions = (b"PIPELINING",) if self.pipelining else ()
            lines = (b"reinject.example", *extensions, b"8BITMIME", b"SMTPUTF8")
            ehlo = b"".join(b"250-" + name + b"\r\n" for name in lines) + b"250 SIZE 31457280\r\n"
            await self._do(session, "EHLO", ehlo)
        elif verb == b"MAIL":
            reply = await self._do(session, "MAIL", b"250 2.1.0 Ok\r\n")
            session.mail = line if reply.startswith(b"2") else b""
            session.recipients = []
        elif verb == b"RCPT":
            usual = b"250 2.1.5 Ok\r\n" if session.mail else b"503 5.5.1 need MAIL command\r\n"
            if (await self._do(session, "RCPT", usual)).startswith(b"2"):
                session.recipients.append(line)
        elif verb == b"DATA":
            await self._data(session)
        else:
            session.writer.write(b"502 5.5.2 Command not recognized\r\n")

    async def _data(self, session: Session) -> None:
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await self._message(session)
        finally:
            self._under_way -= 1

    async def _message(self, session: Session) -> None:
        if not session.recipients:
            code = b"554 5.5.1 no valid recipients" if session.mail else b"503 5.5.1 need RCPT"
            await self._do(session, "DATA", code + b"\r\n")
            return
        reply = await self._do(session, "DATA", b"354 End data with <CR><LF>.<CR><LF>\r\n")
        if not reply.startswith(b"354"):
            return
        message = Received(session.mail, session.recipients)
        session.messages.append(message)
        first = True
        while not message.complete:
            piece = await session.reader.read(1 << 16)
            if not piece:
                raise _HungUp
            if first:
                await self._do(session, "body", b"")
                first = False
            assert message.take(piece) == b"", "nothing is pipelined behind a message"
        reply = await self._do(session, "dot", b"250 2.0.0 Ok: queued as 4F2x\r\n")
        message.accepted = reply.startswith(b"2")
        session.mail, session.recipients = b"", []
