"""The server side of the proxy: aiosmtpd's SMTP machine, with what a proxy needs done otherwise.

aiosmtpd reads commands, keeps the session and its time-out. Replaced are MAIL and RCPT (their
parameters beyond our knowledge are ignored, and addresses have one parser here), EHLO (one
write, and PIPELINING), and DATA, which is not collected but goes through a `Transfer`.
"""

import asyncio
import logging
import re
import time
from collections import defaultdict
from dataclasses import dataclass

from aiosmtpd.smtp import SMTP

from filtermail.deliver import UNAVAILABLE, CleartextWanted, Transaction, Transfer, passed_on
from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.verdict import Reply
from filtermail.reinject import Pool, Refused, Unavailable
from relay.address import Address, InvalidAddress
from relay.log import unexpected
from relay.ratelimit import RateLimiter

log = logging.getLogger(__name__)

IDLE_SECONDS = 300.0
"""A client that says nothing for so long is hung up on (RFC 5321, 4.5.3.2.7)."""
MAX_RECIPIENTS = 5000
"""Of one message; Postfix' own limit, 1000 by default, is reached before."""
CHUNK = 64 * 1024
MAX_COMMAND = 4096
"""Octets of a command: room for any address with every parameter (RFC 5321, 4.5.3.1.4)."""

_COMMANDS = [name for name in dir(SMTP) if name.startswith("smtp_")]
# A path, then parameters (RFC 5321, 4.1.2). What is between the brackets, Address reads.
_PATH = re.compile(r'<((?:[^<>"\s]|"(?:[^"\\]|\\.)*")*)>((?: +\S+)*) *')


@dataclass(frozen=True, slots=True)
class Proxy:
    """What the sessions of one filtermail instance share."""

    direction: Direction
    domain: str
    max_size: int
    pool: Pool
    limiter: RateLimiter | None
    wanted: CleartextWanted
    sessions: set["Session"]
    """Those that are connected."""


class _Hooks:
    """aiosmtpd's handler: what it calls where it knows no better."""

    def __dir__(self) -> list[str]:
        return ["handle_exception"]

    async def handle_exception(self, error: Exception) -> str:
        """The unexpected is temporary."""
        unexpected(log, "an SMTP command", error)
        return "451 4.3.0 Internal error, try again later"


class Session(SMTP):
    """One client's connection."""

    line_length_limit = CHUNK

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._sender: tuple[str, Address | None] | None = None
        self._parameters: list[str] = []
        self._recipients: list[tuple[str, Address]] = []
        self._draining = False
        super().__init__(
            _Hooks(),
            data_size_limit=proxy.max_size,
            enable_SMTPUTF8=True,
            hostname=proxy.domain,
            ident="ESMTP Postern",
            timeout=IDLE_SECONDS,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limits = defaultdict(lambda: MAX_COMMAND)

    def __dir__(self) -> list[str]:
        # aiosmtpd looks its commands up by dir() and inspect for each connection: 0.1 ms a time.
        return _COMMANDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._proxy.sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The client has gone."""
        self._proxy.sessions.discard(self)
        super().connection_lost(error)

    def drain(self) -> None:
        """End the session: now, or after the message that is under way (RFC 5321, 3.8)."""
        self._draining = True
        if self._sender is None and self.transport is not None:
            self._writer.write(b"421 4.3.2 Service is restarting, try again\r\n")
            self.transport.close()

    def _timeout_cb(self) -> None:
        if self._writer.transport.get_write_buffer_size():
            # Closing would wait for a client that does not even read.
            self._writer.transport.abort()
        else:
            self._writer.write(b"421 4.4.2 Idle for too long\r\n")
            self._writer.close()

    def _set_rset_state(self) -> None:
        super()._set_rset_state()  # type: ignore[no-untyped-call]
        self._sender = None
        self._parameters = []
        self._recipients = []

    async def smtp_EHLO(self, hostname: str) -> None:
        """Greet, and say what is understood (RFC 5321, 4.1.1.1)."""
        if not hostname:
            await self.push("501 5.5.4 Syntax: EHLO hostname")
            return
        assert self.session is not None
        self._set_rset_state()
        self.session.extended_smtp = True
        self.session.host_name = hostname
        extensions = (
            self._proxy.domain,
            "PIPELINING",
            f"SIZE {self._proxy.max_size}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
        )
        await self._answer(Reply(250, extensions))

    async def smtp_MAIL(self, arg: str | None) -> None:
        """Begin a transaction (RFC 5321, 4.1.1.2)."""
        await self.push(self._mail(arg or ""))

    def _mail(self, arg: str) -> str:
        assert self.session is not None
        if not self.session.host_name:
            return "503 5.5.1 EHLO first"
        if self._sender is not None:
            return "503 5.5.1 A transaction is open already"
        try:
            path, parameters = _parse_path("FROM:", arg)
            sender = Address.parse(path) if path else None
        except InvalidAddress as error:
            return f"501 5.1.7 Bad sender: {error}"
        if _size(parameters) > self._proxy.max_size:
            return f"552 5.3.4 Message larger than {self._proxy.max_size} bytes"
        limiter = self._proxy.limiter
        if limiter is not None and not limiter.allow(str(sender or ""), time.monotonic()):
            log.info("a sender is over the rate limit")
            return "450 4.7.1 Too many messages from you, try again later"
        self._sender = (path, sender)
        self._parameters = [p for p in parameters if p.partition("=")[0] in ("BODY", "SMTPUTF8")]
        return "250 2.1.0 Ok"

    async def smtp_RCPT(self, arg: str | None) -> None:
        """Add a recipient (RFC 5321, 4.1.1.3). Whether it can be had, the reinject side says."""
        await self.push(self._rcpt(arg or ""))

    def _rcpt(self, arg: str) -> str:
        if self._sender is None:
            return "503 5.5.1 MAIL first"
        if len(self._recipients) >= MAX_RECIPIENTS:
            return f"452 4.5.3 More than {MAX_RECIPIENTS} recipients"
        try:
            path, _ = _parse_path("TO:", arg)
            # RFC 5321, 4.5.1: postmaster needs no domain.
            bare = path.lower() == "postmaster"
            recipient = Address.parse(f"{path}@{self._proxy.domain}" if bare else path)
        except InvalidAddress as error:
            return f"501 5.1.3 Bad recipient: {error}"
        self._recipients.append((path, recipient))
        return "250 2.1.5 Ok"

    async def smtp_VRFY(self, arg: str | None) -> None:
        """Verify nothing (RFC 5321, 3.5.3); aiosmtpd would read the address."""
        await self.push("252 2.1.5 Send a message and see" if arg else "501 5.5.4 VRFY whom?")

    async def smtp_DATA(self, arg: str | None) -> None:
        """Pass a message on (RFC 5321, 4.1.1.4)."""
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
        elif not self._recipients:
            await self.push("503 5.5.1 RCPT first")
        else:
            await self._answer(await self._pass_on())
            self._set_rset_state()
            if self._draining:
                self.drain()

    async def _pass_on(self) -> Reply:
        proxy = self._proxy
        transaction = self._transaction()
        try:
            connection = await proxy.pool.begin(
                transaction.sender, transaction.parameters, transaction.recipients
            )
        except Refused as refused:
            log.info("the reinject service refused an envelope with %d", refused.reply.code)
            return passed_on(refused.reply)
        except Unavailable as error:
            log.warning("the reinject service failed: %s", error)
            return UNAVAILABLE
        transfer = Transfer(transaction, proxy.direction, proxy.max_size, proxy.wanted)
        try:
            reply, rest = await transfer.run(self, proxy.pool, connection)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - and what follows may be message or commands
            unexpected(log, "DATA", error)
            self._draining = True
            return UNAVAILABLE
        self._unread(rest)
        return reply

    def _transaction(self) -> Transaction:
        assert self._sender is not None
        path, sender = self._sender
        envelope = Envelope(sender, tuple(address for _, address in self._recipients))
        return Transaction(path, self._parameters, [p for p, _ in self._recipients], envelope)

    async def go_ahead(self) -> None:
        """Tell the client to send its message."""
        await self.push("354 End data with <CR><LF>.<CR><LF>")

    async def read(self) -> bytes:
        """The client's next octets; raises ConnectionResetError when there are no more."""
        data = await self._reader.read(4 * CHUNK)
        if not data:
            raise ConnectionResetError
        self._reset_timeout()
        return data

    def _unread(self, rest: bytes) -> None:
        """Put back commands that were pipelined behind the message; StreamReader has no way to."""
        if rest:
            self._reader._buffer[:0] = rest  # type: ignore[attr-defined]

    async def _answer(self, reply: Reply) -> None:
        self._writer.write(reply.encode())
        await self._writer.drain()


def _parse_path(keyword: str, arg: str) -> tuple[str, list[str]]:
    """What is between `<` and `>`, and the parameters in upper case; raises InvalidAddress."""
    match = _PATH.fullmatch(arg[len(keyword) :].lstrip(" "))
    if match is None or arg[: len(keyword)].upper() != keyword:
        raise InvalidAddress(f"the syntax is {keyword}<address>")
    return match[1], match[2].upper().split()


def _size(parameters: list[str]) -> int:
    """The size that the client announces (RFC 1870), 0 without one."""
    announced = (p.removeprefix("SIZE=") for p in parameters if p.startswith("SIZE="))
    return max((int(size) for size in announced if size.isascii() and size.isdigit()), default=0)
