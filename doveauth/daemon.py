"""The authentication daemon: sockets for Dovecot over one account store."""

import asyncio
import time
from pathlib import Path

from doveauth.admissions import InvitationAdmissions
from doveauth.edges.answers import Answers
from doveauth.edges.dict import AuthHandler, LastLoginHandler
from doveauth.edges.http import Lookups
from doveauth.edges.new import Onboarding
from doveauth.figures import Figures
from doveauth.invitations import Invitations
from doveauth.networks import NetworkLimit, Prefixes
from doveauth.policy import Rules
from doveauth.resources import Gauge, read_resources
from doveauth.stores.files import FileAccounts, Limits
from relay.config import Config
from relay.dovecot.dictserver import DictServer
from relay.life import metrics
from relay.life.metrics import METRICS
from relay.life.service import Listeners, Unstartable, owner_of
from relay.life.sockets import serve
from relay.life.webserver import WebServer
from relay.mailbox.directory import Mailboxes
from relay.owner import Owner

AUTH = "auth-socket"
LAST_LOGIN = "last-login-socket"
LOOKUPS = "lookups-socket"
"""HTTP for Dovecot 2.4's passdb and userdb (`doveauth.edges.http`)."""
NEW = "new-socket"
"""Account creation over HTTP, behind the web server (`doveauth.edges.new`)."""
OPTIONAL = (LOOKUPS, NEW, METRICS)
"""Sockets that a relay may do without."""


async def run(listeners: Listeners, config: Config, shutdown: asyncio.Event) -> None:
    """Serve the sockets that are there until `shutdown`; raises Unstartable."""
    owner = owner_of(config)
    await asyncio.to_thread(_make_root, config.mailboxes_dir, owner)
    figures = Figures()
    admissions = InvitationAdmissions(Invitations.of(config, owner))
    resources = Gauge(lambda: read_resources(config.mailboxes_dir), time.monotonic)
    limits = Limits(
        nocreate_path=config.nocreate_path,
        resources=resources,
        network=_network_limit(config),
        admissions=admissions,
    )
    mailboxes = Mailboxes(config.mailboxes_dir, config.mail_domain)
    store = FileAccounts(mailboxes, owner, Rules.of(config), limits, figures=figures)
    onboarding = Onboarding(config, admissions, resources, _network_limit(config))
    answers = Answers(store, owner, figures)
    servers: dict[str, DictServer | WebServer] = {
        AUTH: DictServer(AuthHandler(answers), serve),
        LAST_LOGIN: DictServer(LastLoginHandler(store), serve),
        LOOKUPS: WebServer(Lookups(answers).application()),
        NEW: WebServer(onboarding.application()),
        METRICS: WebServer(metrics.application(figures.registry)),
    }
    serving = [(servers[name], listener) for name, listener in listeners.items()]
    for server, listener in serving:
        await server.start(listener)
    await shutdown.wait()
    await asyncio.gather(*(server.stop() for server, _ in serving))
    await asyncio.gather(store.close(), admissions.close())


def _network_limit(config: Config) -> NetworkLimit:
    prefixes = Prefixes(config.network_prefix_ipv4, config.network_prefix_ipv6)
    return NetworkLimit(config.max_creations_per_hour_per_network, prefixes)


def _make_root(root: Path, owner: Owner) -> None:
    """Make the directory of all mailboxes, for its owner alone; one that is there is left as is."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        if not root.is_dir():
            root.mkdir(mode=0o700)
            owner.take(root)
    except OSError as error:
        raise Unstartable(
            f"{root} cannot be made: {error.strerror}; make it, or set mailboxes_dir"
        ) from None
