"""filtermail as a service, one instance per direction."""

import asyncio
import functools
import sys
import time
from collections.abc import Sequence

from filtermail.deliver import Gateway, deliver
from filtermail.figures import Figures
from filtermail.gate.grammar import Direction
from filtermail.policy import (
    OPERATOR_BURST,
    OPERATOR_PER_MINUTE,
    Incoming,
    Outgoing,
    Policy,
)
from filtermail.recipients import MailboxRecipients
from filtermail.reinject import Pool
from relay.config import Config
from relay.life.metrics import METRICS, metrics_server
from relay.life.service import Listeners
from relay.life.sockets import serve
from relay.mailbox.directory import Mailboxes
from relay.ratelimit import LocalLimiter, RateLimiter
from relay.smtp.client import Connect
from relay.smtp.commands import Rules, Transaction
from relay.smtp.reply import Reply
from relay.smtp.server import Server, Source

HOST = "127.0.0.1"
"""Where both sides listen: neither the filter nor the reinject service is for anyone else."""
DRAIN_SECONDS = 50.0
"""How long messages under way may take once the service is to stop."""
SWITCH_SECONDS = 0.0005
"""How long the threads that ask the mailboxes wait for a busy event loop, each time: Python's 5 ms
made 20 to 200 ms of a message beside thirty large ones."""


async def run(
    direction: Direction, listeners: Listeners, config: Config, shutdown: asyncio.Event
) -> None:
    """Serve `smtp`, and figures where their listener is, until `shutdown`.

    Messages under way are finished first.
    """
    gateway = _gateway(direction, config)
    sys.setswitchinterval(SWITCH_SECONDS)

    async def deliver_one(source: Source, transaction: Transaction) -> Sequence[Reply]:
        return [await deliver(source, transaction, gateway)]

    smtp = Server(Rules(config.mail_domain, config.max_message_size), deliver_one)
    server = await serve(smtp.session, listeners["smtp"])
    metrics = metrics_server(gateway.figures.rendered)
    if METRICS in listeners:
        await metrics.start(listeners[METRICS])
    await shutdown.wait()
    server.close()
    await smtp.drain(DRAIN_SECONDS)
    await metrics.stop()
    gateway.pool.close()


def _gateway(direction: Direction, config: Config) -> Gateway:
    pool = Pool(_connect(direction, config), config.mail_domain, time.monotonic)
    return Gateway(_policy(direction, config), pool, config.max_message_size, Figures())


def _connect(direction: Direction, config: Config) -> Connect:
    loop = asyncio.get_running_loop()
    if config.postfix_reinject_sockets is not None:
        path = config.postfix_reinject_sockets / f"reinject-{direction.value}"
        return functools.partial(loop.create_unix_connection, path=str(path))
    outgoing = direction is Direction.OUTGOING
    port = config.postfix_reinject_port if outgoing else config.postfix_reinject_port_incoming
    return functools.partial(loop.create_connection, host=HOST, port=port)


def _policy(direction: Direction, config: Config) -> Policy:
    if direction is Direction.OUTGOING:
        limiter = RateLimiter(config.max_user_send_per_minute, config.max_user_send_burst_size)
        return Outgoing(config.mail_domain, LocalLimiter(limiter, time.monotonic))
    mailboxes = Mailboxes(config.mailboxes_dir, config.mail_domain)
    recipients = MailboxRecipients(mailboxes, operator=config.operator_address is not None)
    operator = LocalLimiter(RateLimiter(OPERATOR_PER_MINUTE, OPERATOR_BURST), time.monotonic)
    return Incoming(config.mail_domain, recipients, operator)
