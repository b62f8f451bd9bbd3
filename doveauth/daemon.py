"""The authentication daemon: sockets for Dovecot over one account store."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from doveauth import keys
from doveauth.accounts import Account, AccountStore, FileAccounts, Limits, NotNow
from doveauth.admissions import InvitationAdmissions
from doveauth.figures import Figures
from doveauth.hashing import HashingFailed
from doveauth.invitations import Invitations
from doveauth.keys import Credentials, User
from doveauth.networks import NetworkLimit, Prefixes
from doveauth.onboarding import Onboarding
from doveauth.policy import Rules
from doveauth.resources import Gauge, read_resources
from relay import metrics
from relay.config import Config
from relay.dictproto import Change
from relay.dictserver import DictFailure, DictServer
from relay.mailbox import Mailboxes, Owner
from relay.metrics import METRICS
from relay.service import Listeners, Unstartable, owner_of
from relay.webserver import WebServer

log = logging.getLogger(__name__)

Fields = dict[str, str | int]

AUTH = "auth-socket"
LAST_LOGIN = "last-login-socket"
LOOKUPS = "lookups-socket"
"""HTTP for Dovecot 2.4's passdb and userdb (`doveauth.lookups`)."""
NEW = "new-socket"
"""Account creation over HTTP, behind the web server (`doveauth.onboarding`)."""
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
    servers: dict[str, DictServer | WebServer] = {
        AUTH: DictServer(AuthHandler(store, owner, figures)),
        LAST_LOGIN: DictServer(LastLoginHandler(store)),
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


class AuthHandler:
    """What Dovecot's dict passdb and dict userdb ask."""

    def __init__(self, store: AccountStore, owner: Owner, figures: Figures) -> None:
        self._store = store
        self._owner = owner
        self._figures = figures

    async def lookup(self, key: str, _user: str) -> str | None:
        """The fields of a user, as JSON; a login with an admissible new name makes it first."""
        request = keys.parse_lookup(key)
        if request is None:
            return None
        kind = "passdb" if isinstance(request, Credentials) else "userdb"
        began, result = time.perf_counter(), "failed"
        try:
            with temporary():
                fields = await self._fields_for(request)
            result = "unknown" if fields is None else "found"
        finally:
            self._figures.answered(kind, result, time.perf_counter() - began)
        return None if fields is None else json.dumps(fields)

    async def iterate(self, path: str, _user: str) -> list[tuple[str, str]]:
        """A key for every user, with an empty value."""
        if path != keys.USERDB:
            return []
        with temporary():
            return [(keys.USERDB + name, "") for name in await self._store.names()]

    async def commit(self, _user: str, _changes: Sequence[Change]) -> None:
        """Nothing can be changed here."""
        raise DictFailure("the users cannot be changed by dict")

    async def _fields_for(self, request: Credentials | User) -> Fields | None:
        if isinstance(request, User):
            account = await self._store.find(request.username)
            return self._fields(account) if account else None
        account = await self._store.login_or_create(
            request.username, request.password, request.remote
        )
        return self._fields(account) | {"password": account.password_hash} if account else None

    def _fields(self, account: Account) -> Fields:
        """What a userdb tells: no hash, which nobody needs there and doveadm would print."""
        return {
            "addr": account.address,
            "home": str(account.home),
            "uid": self._owner.uid,
            "gid": self._owner.gid,
        }


class LastLoginHandler:
    """What Dovecot's last_login plugin writes; it never reads."""

    def __init__(self, store: AccountStore) -> None:
        self._store = store

    async def lookup(self, _key: str, _user: str) -> str | None:
        """Nothing is told from here."""
        return None

    async def iterate(self, _path: str, _user: str) -> list[tuple[str, str]]:
        """Nothing is told from here."""
        return []

    async def commit(self, _user: str, changes: Sequence[Change]) -> None:
        """Note the days of the logins."""
        logins = [_login(change) for change in changes]
        with temporary():
            for username, timestamp in logins:
                await self._store.record_login(username, timestamp)


def _login(change: Change) -> tuple[str, int]:
    username, timestamp = keys.parse_last_login(change.key), keys.parse_timestamp(change.value)
    if username is None or timestamp is None:
        raise DictFailure(f"{keys.LAST_LOGIN}USER is set to a time in seconds, nothing else")
    return username, timestamp


@contextmanager
def temporary() -> Iterator[None]:
    """What keeps the store from answering is a temporary failure, never a wrong password."""
    try:
        yield
    except OSError as error:
        # An OSError's own text has the path, and so the address.
        log.error("the mailboxes cannot be read or written: %s", error.strerror)  # noqa: TRY400 - foreseen
        raise DictFailure("the mailboxes cannot be read or written now") from None
    except NotNow as limit:
        # The store has logged and counted it.
        raise DictFailure(f"no account can be made now: {limit}") from None
    except HashingFailed as error:
        log.error("a password cannot be hashed: %s", error)  # noqa: TRY400 - foreseen
        raise DictFailure("a password cannot be hashed now") from None


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
