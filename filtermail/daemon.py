"""filtermail as a service, one instance a direction."""

import asyncio
import logging
import time

from filtermail.deliver import CleartextWanted
from filtermail.gate.grammar import Direction, Envelope
from filtermail.reinject import Pool
from filtermail.session import Proxy, Session
from relay.address import InvalidAddress
from relay.config import Config
from relay.life.service import Listeners
from relay.life.sockets import serve
from relay.mailbox.directory import Mailboxes
from relay.ratelimit import RateLimiter

HOST = "127.0.0.1"
"""Where both sides listen: neither the filter nor the reinject service is for anyone else."""
DRAIN_SECONDS = 50.0
"""How long messages under way may take once the service is to stop."""


async def run(
    direction: Direction, listeners: Listeners, config: Config, shutdown: asyncio.Event
) -> None:
    """Serve the listener `smtp` until `shutdown`; messages under way are finished first."""
    # aiosmtpd logs addresses at INFO, and each command that it does not know at WARNING.
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        logging.getLogger("mail.log").setLevel(logging.ERROR)
    proxy = _proxy(direction, config)
    server = await serve(lambda: Session(proxy), listeners["smtp"])
    await shutdown.wait()
    server.close()
    for session in list(proxy.sessions):
        session.drain()
    deadline = time.monotonic() + DRAIN_SECONDS
    while proxy.sessions and time.monotonic() < deadline:  # noqa: ASYNC110 - a set has no event
        await asyncio.sleep(0.05)
    proxy.pool.close()


def _proxy(direction: Direction, config: Config) -> Proxy:
    outgoing = direction is Direction.OUTGOING
    reinject = config.postfix_reinject_port if outgoing else config.postfix_reinject_port_incoming
    limiter = RateLimiter(config.max_user_send_per_minute, config.max_user_send_burst_size)
    return Proxy(
        direction=direction,
        domain=config.mail_domain,
        max_size=config.max_message_size,
        pool=Pool(HOST, reinject, config.mail_domain, time.monotonic),
        limiter=limiter if outgoing else None,
        wanted=_cleartext_wanted(config),
        sessions=set(),
    )


def _cleartext_wanted(config: Config) -> CleartextWanted:
    mailboxes = Mailboxes(config.mailboxes_dir, config.mail_domain)

    def wanted(envelope: Envelope) -> bool:
        try:
            boxes = [mailboxes.of(recipient) for recipient in envelope.recipients]
        except InvalidAddress:
            return False
        return all(box is not None and box.accepts_cleartext() for box in boxes)

    async def ask(envelope: Envelope) -> bool:
        return await asyncio.to_thread(wanted, envelope)

    return ask
