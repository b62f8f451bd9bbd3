"""The way of one message: from the client's DATA through the gate into the reinject connection.

    client ──chunk──▶ Message.feed ──what may go on──▶ reinject connection
                        │ Refusal
                        ▼
             connection dropped before the dot, the client's rest read to its dot, then the reply

Nothing is answered before the client's final dot has come: what is left of its message must not
be read as commands. And the client's final dot is passed on only when the verdict is there, so
that what Postfix answers to it is the answer to the client.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.message import Message
from filtermail.gate.verdict import NotEncrypted, Refusal, Reply
from filtermail.reinject import Connection, Pool, Unavailable

log = logging.getLogger(__name__)

UNAVAILABLE = Reply(451, ("4.3.0 The mail system is temporarily unavailable, try again later",))
CONNECTION_FAULTS = (421, 502, 503)
"""Codes of the reinject side about the connection, not the message: to the client, temporary."""


class Transaction(NamedTuple):
    """One message's envelope as the client gave it, and as it was understood."""

    sender: str
    parameters: Sequence[str]
    recipients: Sequence[str]
    envelope: Envelope


class Client(Protocol):
    """The side that sends the message."""

    async def go_ahead(self) -> None:
        """Tell it to begin."""

    async def read(self) -> bytes:
        """Its next octets; raises ConnectionError when there are no more."""


CleartextWanted = Callable[[Envelope], Awaitable[bool]]
"""Whether every recipient of an incoming message takes cleartext as well."""


class Transfer:
    """Passes one message on. Used once."""

    def __init__(
        self, transaction: Transaction, direction: Direction, limit: int, wanted: CleartextWanted
    ) -> None:
        self._envelope = transaction.envelope
        self._direction = direction
        self._message = Message(transaction.envelope, direction, limit)
        self._wanted = wanted
        self._failure: Reply | None = None

    async def run(self, client: Client, pool: Pool, connection: Connection) -> tuple[Reply, bytes]:
        """Pass the message on; the reply to its final dot, and what the client sent after it.

        `connection` is given back to `pool`, whatever happens: at once where it is of no more use,
        because a client that was refused may take its time to come to its dot.
        """
        clean = False
        try:
            await client.go_ahead()
            while self._failure is None:
                out = await self._screen(await client.read())
                if self._failure is not None:
                    break
                if self._message.ended:
                    self._failure = passed_on(await connection.end(out))
                    clean = True
                elif out:
                    await connection.write(out)
        except Unavailable as error:
            self._fail(UNAVAILABLE, f"the reinject service failed: {error}")
        finally:
            pool.release(connection, clean=clean)
        assert self._failure is not None
        while not self._message.ended:
            self._read_to_the_end(await client.read())
        return self._failure, self._message.rest

    async def _screen(self, data: bytes) -> bytes:
        """What may go on of the client's octets; nothing once the message has failed."""
        try:
            try:
                return self._message.feed(data)
            except NotEncrypted:
                if not await self._lifted():
                    raise
                return self._message.let_through()
        except Refusal as refusal:
            self._fail(refusal.reply, f"refused: {refusal}")
        except OSError as error:
            # Its own text has the path, and that the address.
            self._fail(UNAVAILABLE, f"the mailboxes cannot be read: {error.strerror}")
        return b""

    def _read_to_the_end(self, data: bytes) -> None:
        """What is left of a message that failed: nobody cares, but it must not be commands."""
        with contextlib.suppress(Refusal):
            self._message.feed(data)

    async def _lifted(self) -> bool:
        return self._direction is Direction.INCOMING and await self._wanted(self._envelope)

    def _fail(self, reply: Reply, why: str) -> None:
        self._failure = reply
        log.info("a message of %s: %s", _magnitude(self._message.size), why)


def passed_on(reply: Reply) -> Reply:
    """The reinject side's reply as the client gets it."""
    return UNAVAILABLE if reply.code in CONNECTION_FAULTS else reply


def _magnitude(size: int) -> str:
    """A size that tells little about a single message."""
    return f"under {max(1, 1 << (size >> 10).bit_length())} KB"
