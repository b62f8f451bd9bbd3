"""The way of one message: from whoever brings it, through the gate, into the reinject connection.

    read until the header is whole ─▶ header's verdict ─▶ open the transaction ─▶ stream
        ─▶ body's verdict ─▶ the final dot ─▶ Postfix's own reply is the reply

A refusal ends it at any of these. Before the transaction is open it has cost Postfix nothing;
afterwards the connection is dropped before its dot, and Postfix discards what it had got. A small
message has come whole before anything is opened, so that a refused one opens nothing.
"""

import logging
from typing import NamedTuple, Protocol

from filtermail.figures import Figures
from filtermail.gate.message import Message
from filtermail.gate.verdict import Refusal
from filtermail.policy import Passage, Policy
from filtermail.reinject import Pool
from relay.smtp.client import Connection, Refused, Unavailable
from relay.smtp.commands import Transaction
from relay.smtp.datastream import Piece
from relay.smtp.reply import Reply

log = logging.getLogger(__name__)

UNAVAILABLE = Reply(451, ("4.3.0 The mail system is temporarily unavailable, try again later",))
CONNECTION_FAULTS = (421, 502, 503)
"""Codes of the reinject side about the connection, not the message: to the client, temporary."""
_PARAMETERS = ("BODY=7BIT", "BODY=8BITMIME", "SMTPUTF8")
"""Parameters of MAIL that are about the message and go on with it."""


class Source(Protocol):
    """Whoever brings the message."""

    async def read(self) -> Piece:
        """Its next piece. Where no more will come, the task that waits here is cancelled."""


class Gateway(NamedTuple):
    """What all messages of one instance share."""

    policy: Policy
    pool: Pool
    max_size: int
    figures: Figures


async def deliver(source: Source, transaction: Transaction, gateway: Gateway) -> Reply:
    """Pass one message on; the reply to it.

    Returns early where the message is refused: its rest is then the caller's to read to the end.
    """
    message = Message(gateway.max_size)
    try:
        reply = await _deliver(message, source, transaction, gateway)
    except Refusal as refusal:
        reply, why = refusal.reply, f"refused: {refusal}"
        gateway.figures.refused(reply.code)
    except Refused as refused:
        code = refused.reply.code
        reply = UNAVAILABLE if code in CONNECTION_FAULTS else refused.reply
        why = f"the reinject service refused it with {code}"
        gateway.figures.answered(reply)
    except Unavailable as error:
        gateway.figures.put_off()
        return _later(message, f"the reinject service failed: {error}")
    except OSError as error:
        gateway.figures.put_off()
        # Its own text has the path, and that the address.
        return _later(message, f"the mailboxes cannot be read: {error.strerror}")
    else:
        gateway.figures.answered(reply)
        return reply
    log.info("a message of %s: %s", _magnitude(message.size), why)
    return reply


async def _deliver(
    message: Message, source: Source, transaction: Transaction, gateway: Gateway
) -> Reply:
    while message.header is None:
        message.feed(await source.read())
    passage = await gateway.policy.judge(message.header, transaction)
    out = message.begin(passage.block, passage.body, passage.observers)
    parameters = [p for p in transaction.sender.parameters if p in _PARAMETERS]
    connection = await gateway.pool.begin(passage.sender, parameters, passage.recipients)
    clean = False
    try:
        reply = await _stream(message, out, source, passage, connection)
        clean = True
    finally:
        gateway.pool.release(connection, clean=clean)
    return UNAVAILABLE if reply.code in CONNECTION_FAULTS else reply


async def _stream(
    message: Message, out: bytes, source: Source, passage: Passage, connection: Connection
) -> Reply:
    """Pass the message on while it comes, and its dot once nothing is against it."""
    while not message.ended:
        connection.write(out)
        if connection.congested:
            await connection.drain()
        out = message.feed(await source.read())
    for observer in passage.observers:
        await observer.conclude()
    return await connection.end(out)


def _later(message: Message, why: str) -> Reply:
    """Warn, and have the client send the message again."""
    log.warning("a message of %s is to be sent again: %s", _magnitude(message.size), why)
    return UNAVAILABLE


def _magnitude(size: int) -> str:
    """A size that tells little about a single message."""
    return f"under {max(1, 1 << (size >> 10).bit_length())} KB"
