"""The metadata service: a dict server and a notifier over one queue."""

import asyncio
import contextlib
from pathlib import Path

from metadata.handler import MetadataHandler
from metadata.notifier import Notifier
from metadata.nudge import Nudger
from metadata.queue import PushQueue
from metadata.store import TokenStore
from relay.config import Config
from relay.dictserver import DictServer
from relay.mailbox import Mailboxes
from relay.service import Listeners, owner_of

SOCKET = "socket"
"""The name of the one listening socket."""


async def run(
    listeners: Listeners, config: Config, shutdown: asyncio.Event, *, state: Path
) -> None:
    """Serve until `shutdown`; pushes not delivered by then stay in `state` for the next start."""
    owner = owner_of(config)
    mailboxes = Mailboxes(config.mailboxes_dir, config.mail_domain)
    tokens = TokenStore(mailboxes, owner)
    nudger = Nudger(mailboxes)
    queue = PushQueue(state, owner)
    notifier = Notifier(config.push_gateway, queue, tokens)
    server = DictServer(MetadataHandler(config, tokens, queue, notifier.wake, nudger.soon))
    delivering = asyncio.ensure_future(notifier.run())
    try:
        await server.start(listeners[SOCKET])
        await shutdown.wait()
        await server.stop()
    finally:
        delivering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering
        await queue.close()
        tokens.close()
        nudger.close()
