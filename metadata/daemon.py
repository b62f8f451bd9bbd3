"""The metadata service: a dict server and a notifier over one queue."""

import asyncio
import contextlib
import time
from pathlib import Path

from metadata.figures import Figures
from metadata.handler import MetadataHandler
from metadata.nudge import Nudger
from metadata.push.notifier import Notifier
from metadata.push.queue import PushQueue
from metadata.tokens.files import TokenStore
from relay.config import Config
from relay.dovecot.dictserver import DictServer
from relay.life import metrics
from relay.life.metrics import METRICS
from relay.life.service import Listeners, owner_of
from relay.life.sockets import serve
from relay.life.webserver import WebServer
from relay.mailbox.directory import Mailboxes

SOCKET = "socket"
"""The name of the listening socket where Dovecot asks."""
OPTIONAL = (METRICS,)
"""Sockets that a relay may do without."""


async def run(
    listeners: Listeners, config: Config, shutdown: asyncio.Event, *, state: Path
) -> None:
    """Serve until `shutdown`; pushes not delivered by then stay in `state` for the next start."""
    owner = owner_of(config)
    mailboxes = Mailboxes(config.mailboxes_dir, config.mail_domain)
    tokens = TokenStore(mailboxes, owner)
    nudger = Nudger(mailboxes)
    queue = PushQueue(state, owner)
    figures = Figures()
    notifier = Notifier(
        config.push_gateway,
        queue,
        tokens,
        max_in_flight=config.push_max_in_flight,
        figures=figures,
    )

    async def count_backlog() -> None:
        owed, oldest = await queue.backlog()
        figures.queued(owed, 0.0 if oldest is None else time.time() - oldest)

    servers: dict[str, DictServer | WebServer] = {
        SOCKET: DictServer(
            MetadataHandler(config, tokens, queue, notifier.wake, nudger.soon), serve
        ),
        METRICS: WebServer(metrics.application(figures.registry, count_backlog)),
    }
    serving = [(servers[name], listener) for name, listener in listeners.items()]
    delivering = asyncio.ensure_future(notifier.run())
    try:
        for server, listener in serving:
            await server.start(listener)
        await shutdown.wait()
        await asyncio.gather(*(server.stop() for server, _ in serving))
    finally:
        delivering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering
        await queue.close()
        tokens.close()
        nudger.close()
