"""The authentication daemon: sockets for Dovecot and the web server over one registrar."""

import asyncio
import time
from functools import partial

from prometheus_client.exposition import generate_latest

from doveauth.edges.dict import LastLoginHandler
from doveauth.edges.http import Lookups
from doveauth.edges.new import Onboarding
from doveauth.invitations import InvitationAdmissions, Invitations
from doveauth.networks import MAX_NETWORKS, PROVIDER_SHARE, NetworkLimit, Prefixes
from doveauth.offers import Offers
from doveauth.policy import Rules
from doveauth.registrar import Registrar, Terms
from doveauth.resources import Gauge, read_resources
from doveauth.stores.files import FileAccounts
from relay.config import Config
from relay.dovecot.dictserver import DictServer
from relay.life.metrics import METRICS, metrics_server
from relay.life.service import Listeners, owner_of
from relay.life.sockets import serve
from relay.life.webserver import WebServer
from relay.mailbox.directory import Mailboxes
from relay.ratelimit import LocalLimiter, RateLimiter

LOOKUPS = "lookups-socket"
"""HTTP for Dovecot's passdb and userdb (`doveauth.edges.http`)."""
LAST_LOGIN = "last-login-socket"
NEW = "new-socket"
"""Addresses over HTTP, behind the web server (`doveauth.edges.new`)."""
OPTIONAL = (NEW, METRICS)
"""Sockets that a relay may do without."""


async def run(listeners: Listeners, config: Config, shutdown: asyncio.Event) -> None:
    """Serve the sockets that are there until `shutdown`; raises Unstartable."""
    owner = owner_of(config)
    admissions = InvitationAdmissions(Invitations.of(config, owner))
    terms = _terms(config, admissions)
    mailboxes = Mailboxes(config.mailboxes_dir, config.mail_domain)
    registrar = Registrar(FileAccounts(mailboxes, owner), terms)
    servers: dict[str, DictServer | WebServer] = {
        LOOKUPS: WebServer(Lookups(registrar, owner).answer),
        LAST_LOGIN: DictServer(LastLoginHandler(registrar), serve),
        NEW: WebServer(Onboarding(Offers(registrar, terms)).answer),
        METRICS: metrics_server(partial(generate_latest, registrar.figures.registry)),
    }
    serving = [(servers[name], listener) for name, listener in listeners.items()]
    for server, listener in serving:
        await server.start(listener)
    await shutdown.wait()
    await asyncio.gather(*(server.stop() for server, _ in serving))
    await registrar.close()
    await admissions.close()


def _terms(config: Config, admissions: InvitationAdmissions) -> Terms:
    return Terms(
        domain=config.mail_domain,
        rules=Rules.of(config),
        nocreate_path=config.nocreate_path,
        resources=Gauge(partial(read_resources, config.mailboxes_dir), time.monotonic),
        creations=_network_limit(config),
        offers=_network_limit(config),
        admissions=admissions,
    )


def _network_limit(config: Config) -> NetworkLimit:
    own = config.max_creations_per_hour_per_network
    prefixes = Prefixes(config.network_prefix_ipv4, config.network_prefix_ipv6)
    return NetworkLimit(prefixes, _per_hour(own), _per_hour(PROVIDER_SHARE * own))


def _per_hour(count: int) -> LocalLimiter:
    return LocalLimiter(RateLimiter(count / 60, count, MAX_NETWORKS), time.monotonic)
