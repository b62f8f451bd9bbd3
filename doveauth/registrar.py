"""Who may have an account: found, made once at the first login, counted.

One login takes these steps. 1. The name must be an address of this relay. 2. The store is asked; an
existing account is the answer, and Dovecot compares the password. 3. An unknown name may be made if
the rules, the machine and the client's network permit it, and an invitation where one is needed.
4. The password is hashed and the account is stored. Clients log in over IMAP and SMTP at the same
moment: logins for one new address share one creation.

The store (`doveauth.stores.protocol`) and the sockets (`doveauth.edges`) know nothing of all this.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as Total

from doveauth import policy
from doveauth.hashing import HashingFailed, hash_password, new_salt
from doveauth.invitations import Admissions, InvitationsUnusable
from doveauth.networks import NetworkLimit
from doveauth.policy import Refusal, Resources, Rules
from doveauth.resources import ResourcesUnreadable
from doveauth.stores.protocol import Account, AccountStore, Blocked
from relay.address import Address, InvalidAddress

log = logging.getLogger(__name__)

HASHERS = os.cpu_count() or 1
"""Threads that hash: every core may."""
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds; a login to an existing account takes under a millisecond, a first login several."""
KINDS = ("passdb", "userdb")
RESULTS = ("found", "unknown", "failed")
"""A question is answered with an account, without one, or with a temporary failure."""

T = TypeVar("T")


class NotNow(Exception):
    """There is no answer now and there may be one later; the text is for Dovecot, names nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under which terms accounts are made."""

    domain: str
    rules: Rules
    nocreate_path: Path
    """While this file exists, no account is made."""
    resources: Callable[[], Resources]
    """What the machine has left; called in a thread. Raises ResourcesUnreadable."""
    creations: NetworkLimit
    """Accounts that a client's network may make."""
    offers: NetworkLimit
    """Addresses that a client's network may be offered."""
    admissions: Admissions
    """Who was promised an account, where registration is by invitation."""


class Figures:
    """Counters and a histogram in a registry of their own; no label names anybody."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._created = Total(
            "doveauth_accounts_created", "Accounts that were made.", registry=registry
        )
        self._refusals = Total(
            "doveauth_refusals",
            "First logins and requests for an address that were refused, by reason.",
            ["reason"],
            registry=registry,
        )
        self._lookups = Total(
            "doveauth_lookups",
            "Questions of Dovecot, by kind (passdb: a login) and result.",
            ["kind", "result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "doveauth_lookup_seconds",
            "From a question to its answer, in seconds.",
            ["kind"],
            buckets=BUCKETS,
            registry=registry,
        )
        # Every label from the start, so that a rate has a first value.
        for refusal in Refusal:
            self._refusals.labels(refusal.name.lower())
        for kind in KINDS:
            self._seconds.labels(kind)
            for result in RESULTS:
                self._lookups.labels(kind, result)

    def created(self) -> None:
        """Count an account that was made."""
        self._created.inc()

    def refused(self, refusal: Refusal) -> None:
        """Count a first login, or a request for an address, that was refused."""
        self._refusals.labels(refusal.name.lower()).inc()

    def answered(self, kind: str, result: str, seconds: float) -> None:
        """Count a question of one of `KINDS` with one of `RESULTS`, and its time."""
        self._lookups.labels(kind, result).inc()
        self._seconds.labels(kind).observe(seconds)


class Registrar:
    """Answers for one relay. Every method raises NotNow; the reason has been logged by then."""

    def __init__(self, store: AccountStore, terms: Terms, figures: Figures | None = None) -> None:
        self._store = store
        self._terms = terms
        self.figures = figures or Figures()
        self._hashers = ThreadPoolExecutor(HASHERS, "accounts-hash")
        self._making: dict[Address, asyncio.Task[Account | Refusal]] = {}
        self._created = 0
        self._refused: Counter[Refusal] = Counter()
        self._trouble = ""

    async def find(self, username: str) -> Account | None:
        """Return the account of that name, None where there is none or it is blocked."""
        return await self._answered("userdb", self._find(username))

    async def login(
        self, username: str, password: str, remote: str | None = None
    ) -> Account | None:
        """Return the account of that name, made with this password if it may be.

        An existing account's password is not looked at: Dovecot verifies it. `remote` is the
        client's address as text, None where there is none. Also raises NotNow where a limit that
        passes keeps the account from being made.
        """
        return await self._answered("passdb", self._login(username, password, remote))

    async def record_login(self, username: str, timestamp: int) -> None:
        """Record the day of a login; a name without an account is left without one."""
        address = self._address(username)
        if isinstance(address, Address):
            with self.troubles():
                await self._store.touch(address, timestamp)

    async def names(self) -> list[str]:
        """Return every account's address, in any order."""
        with self.troubles():
            return await self._store.names()

    async def is_taken(self, address: Address) -> bool:
        """Return whether an address of this relay has an account or is blocked."""
        try:
            return await self._store.find(address) is not None
        except Blocked:
            return True

    async def closed_or_short(self) -> Refusal | None:
        """Return why no account is made at present, whoever asks; None where one may be."""

        def look() -> Refusal | None:
            if self._terms.nocreate_path.exists():
                return Refusal.CLOSED
            return policy.shortage(self._terms.resources(), self._terms.rules)

        if self._terms.rules.registration == "closed":
            return Refusal.CLOSED
        return await self._run(look)

    @contextmanager
    def troubles(self) -> Iterator[None]:
        """Turn what keeps us from answering into NotNow, never into "no such user".

        The same trouble is logged once, until something goes well again.
        """
        try:
            yield
        except (ResourcesUnreadable, InvitationsUnusable) as error:
            self._note(str(error.strerror))
            raise NotNow("accounts cannot be made now") from None
        except OSError as error:
            # An OSError's own text has the path, and so the address.
            self._note(f"the mailboxes cannot be read or written: {error.strerror}")
            raise NotNow("the mailboxes cannot be read or written now") from None
        except HashingFailed as error:
            self._note(f"a password cannot be hashed: {error}")
            raise NotNow("a password cannot be hashed now") from None
        else:
            self._trouble = ""

    async def close(self) -> None:
        """Finish what is under way."""
        if self._making:
            await asyncio.wait(self._making.values())
        await asyncio.to_thread(self._hashers.shutdown)
        await self._store.close()

    async def _answered(self, kind: str, answer: Awaitable[Account | None]) -> Account | None:
        began, result = time.perf_counter(), "failed"
        try:
            with self.troubles():
                account = await answer
            result = "unknown" if account is None else "found"
        finally:
            self.figures.answered(kind, result, time.perf_counter() - began)
        return account

    async def _find(self, username: str) -> Account | None:
        address = self._address(username)
        if isinstance(address, Refusal):
            return None
        try:
            return await self._store.find(address)
        except Blocked:
            return None

    async def _login(self, username: str, password: str, remote: str | None) -> Account | None:
        try:
            account = await self._admit(username, password, remote)
        except Blocked:
            account = Refusal.BLOCKED
        if isinstance(account, Account):
            return account
        self._refused[account] += 1
        self.figures.refused(account)
        log.info("no account was created: %s (%d times)", account.value, self._refused[account])
        if account.passes:
            raise NotNow(f"no account can be made now: {account.value}")
        return None

    async def _admit(self, username: str, password: str, remote: str | None) -> Account | Refusal:
        address = self._address(username)
        if isinstance(address, Refusal):
            return address
        account = await self._store.find(address)
        if account is not None:
            return account
        refusal = policy.refusal(address, password, self._terms.rules)
        if refusal := refusal or await self.closed_or_short():
            return refusal
        invited = self._terms.rules.registration == "invite"
        if invited and not await self._terms.admissions.admits(str(address), password):
            # A promise is forgotten once it is kept: the same client's other login may have made
            # the account since we looked.
            return await self._store.find(address) or Refusal.NOT_INVITED
        return await self._make_once(address, password, remote)

    async def _make_once(
        self, address: Address, password: str, remote: str | None
    ) -> Account | Refusal:
        """Make an account, or wait for a creation of it that is under way.

        All callers get the hash that holds, and Dovecot compares each one's password with it.
        """
        task = self._making.get(address)
        if task is None:
            task = asyncio.ensure_future(self._make(address, password, remote))
            self._making[address] = task
            task.add_done_callback(lambda _: self._making.pop(address))
        # A caller that gives up must not cancel the others.
        return await asyncio.shield(task)

    async def _make(self, address: Address, password: str, remote: str | None) -> Account | Refusal:
        account = await self._store.find(address)
        if account is not None:
            return account  # made since we looked
        if not await self._terms.creations.allow(remote):
            return Refusal.NETWORK
        is_new = False
        try:
            password_hash = await self._run(lambda: hash_password(password, new_salt()))
            account = await self._store.create(address, password_hash)
            is_new = account.password_hash == password_hash
        finally:
            if not is_new:
                await self._terms.creations.refund(remote)
        if is_new:
            self._created += 1
            self.figures.created()
            log.info("an account was created (%d since the start)", self._created)
            if self._terms.rules.registration == "invite":
                await self._terms.admissions.used(str(address))
        return account

    def _address(self, username: str) -> Address | Refusal:
        try:
            address = Address.parse(username)
            address.mailbox_name()
        except InvalidAddress:
            return Refusal.NO_MAILBOX_NAME
        return address if address.domain == self._terms.domain else Refusal.FOREIGN_DOMAIN

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._hashers, function)

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.error("%s", trouble)
