"""The metadata service: two dict servers and a notifier over one queue."""

import asyncio
import time
from functools import partial
from importlib import import_module
from pathlib import Path

from prometheus_client.exposition import generate_latest

from metadata.deliveries import DeliveryHandler
from metadata.handler import MetadataHandler
from metadata.notes import Notes
from metadata.nudge import Nudger
from metadata.push.figures import PushFigures
from metadata.push.notifier import Notifier, Settings
from metadata.push.protocol import Gateway, PushQueue
from metadata.push.queue import SqlitePushQueue
from metadata.tokens.files import FileTokenStore
from relay.config import Config
from relay.dovecot.dictserver import DictServer
from relay.life.metrics import METRICS, metrics_server
from relay.life.service import Listeners, owner_of
from relay.life.sockets import serve
from relay.life.webserver import WebServer
from relay.mailbox.directory import Mailboxes

SOCKET = "socket"
"""The name of the listening socket where Dovecot asks and clients set their entries."""
NOTIFY = "notify-socket"
"""The name of the listening socket where deliveries are reported."""
OPTIONAL = (METRICS,)
"""Sockets that a relay may do without."""


async def run(
    listeners: Listeners, config: Config, shutdown: asyncio.Event, *, state: Path
) -> None:
    """Serve until `shutdown`; pushes not delivered by then stay in `state` for the next start."""
    owner = owner_of(config)
    mailboxes = Mailboxes(config.mailboxes_dir, config.mail_domain)
    tokens = FileTokenStore(mailboxes, owner)
    nudger = Nudger(mailboxes)
    queue = SqlitePushQueue(state, owner)
    figures = PushFigures()
    most = config.push_max_in_flight
    notifier = Notifier(
        lambda: _connect(config.push_gateway, most), queue, tokens, figures, Settings(most=most)
    )
    deliveries = DeliveryHandler(tokens, queue, notifier.wake, nudger.soon)
    servers: dict[str, DictServer | WebServer] = {
        SOCKET: DictServer(MetadataHandler(config, tokens), serve),
        NOTIFY: DictServer(deliveries, serve),
        METRICS: metrics_server(
            partial(generate_latest, figures.registry), lambda: _count_backlog(queue, figures)
        ),
    }
    serving = [(servers[name], listener) for name, listener in listeners.items()]
    notes = Notes(config.mailboxes_dir, deliveries.owe_pushes)
    tasks = [asyncio.ensure_future(each) for each in (notifier.run(), notes.watch())]
    try:
        for server, listener in serving:
            await server.start(listener)
        await shutdown.wait()
        await asyncio.gather(*(server.stop() for server, _ in serving))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await queue.close()
        await tokens.close()
        nudger.close()


async def _connect(url: str, most: int) -> Gateway:
    # At the first push: an HTTP client is a third of the memory of a service at rest.
    module = await asyncio.to_thread(import_module, "metadata.push.gateway")
    gateway: Gateway = module.HttpGateway(url, most)
    return gateway


async def _count_backlog(queue: PushQueue, figures: PushFigures) -> None:
    owed, oldest = await queue.backlog()
    figures.queued(owed, 0.0 if oldest is None else time.time() - oldest)
