"""The accounts of a relay: found, made at the first login, listed.

`AccountStore` is what the daemon asks; `FileAccounts` keeps them in the mailbox directories.
What the kernel has in memory is told at once; every other question goes to a thread, because a
disk may be slow and hashing always is. Creations have threads of their own: a crowd of new users
must not hold up those who only log in.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from doveauth import policy
from doveauth.admissions import Admissions, NoAdmissions
from doveauth.figures import Figures
from doveauth.making import Maker
from doveauth.networks import NetworkLimit
from doveauth.policy import Refusal, Resources, Rules
from relay.address import Address, InvalidAddress
from relay.batches import Reader
from relay.mailbox.directory import BlockedMailbox, Mailbox, Mailboxes, create_all
from relay.owner import Owner

log = logging.getLogger(__name__)

READERS = 4
"""Threads that look accounts up: a slow answer of the disk holds up its own batch only."""
MAX_READ = 16
"""Lookups of one batch."""
HASHERS = os.cpu_count() or 1
"""Threads that hash: every core may."""
MAX_STORED = 64
"""New accounts that are stored together."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is there."""

    address: str
    home: Path
    password_hash: str


class NotNow(Exception):  # noqa: N818 - says what is the matter
    """An account may not be made at present; the same login may succeed later."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class AccountStore(Protocol):
    """Who has an account. Every method may raise OSError: the store cannot answer now."""

    async def find(self, username: str) -> Account | None:
        """The account of that name, None where there is none or it is blocked."""

    async def login_or_create(
        self, username: str, password: str, remote: str | None = None
    ) -> Account | None:
        """The account of that name, made with this password if it is not there and may be.

        The password of an account that is there is not looked at: Dovecot verifies it. `remote`
        is the client's address. Raises NotNow where a limit that passes keeps it from being made.
        """

    async def record_login(self, username: str, timestamp: int) -> None:
        """Note the day of a login at `timestamp`, in seconds since the epoch."""

    async def names(self) -> list[str]:
        """Every account's address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What keeps accounts from being made, beside the rules for their names and passwords."""

    nocreate_path: Path
    """While this file is there, none is made."""
    resources: Callable[[], Resources]
    """What the machine has left; asked in a thread."""
    network: NetworkLimit
    admissions: Admissions = field(default_factory=NoAdmissions)
    """Who was promised an account, where registration is by invitation."""


class FileAccounts:
    """Accounts as mailbox directories, in the on-disk form of existing relays."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        owner: Owner,
        rules: Rules,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        figures: Figures | None = None,
        at_hand: bool = False,
    ) -> None:
        """`clock` gives seconds since the epoch, `monotonic` seconds that never jump.

        `at_hand` says that `relay.athand` is usable for the mailboxes.
        """
        self._mailboxes = mailboxes
        self._owner = owner
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._figures = figures or Figures()
        self._at_hand = at_hand
        self._reader = Reader(READERS, MAX_READ)
        self._maker = Maker(self._store, HASHERS, MAX_STORED)
        self._making: dict[Path, asyncio.Task[Account | Refusal]] = {}
        self._created = 0
        self._refused: Counter[Refusal] = Counter()

    async def find(self, username: str) -> Account | None:
        """The account of that name, None where there is none or it is blocked."""
        place = self._place(username)
        if isinstance(place, Refusal):
            return None
        mailbox = place[1]
        return self._told_at_once(mailbox) or await self._reader.ask(lambda: self._found(mailbox))

    async def login_or_create(
        self, username: str, password: str, remote: str | None = None
    ) -> Account | None:
        """The account of that name, made if it may be; raises NotNow, OSError, HashingFailed."""
        account = await self._admit(username, password, remote)
        if isinstance(account, Refusal):
            self._refused[account] += 1
            self._figures.refused(account)
            count = self._refused[account]
            log.info("no account was created: %s (%d times)", account.value, count)
            if account.passes:
                raise NotNow(account)
            return None
        return account

    async def record_login(self, username: str, timestamp: int) -> None:
        """Note the day of a login; a name without an account is left without one."""
        place = self._place(username)
        if not isinstance(place, Refusal):
            await self._reader.ask(lambda: place[1].record_login(timestamp))

    async def names(self) -> list[str]:
        """Every account's address, in no order."""
        return await asyncio.to_thread(self._mailboxes.names)

    async def close(self) -> None:
        """Let what is under way end, and end the threads."""
        for end in (self._maker.close, self._reader.close):
            await asyncio.to_thread(end)

    async def _admit(self, username: str, password: str, remote: str | None) -> Account | Refusal:
        place = self._place(username)
        if isinstance(place, Refusal):
            return place
        address, mailbox = place
        if account := self._told_at_once(mailbox):
            return account
        found = await self._reader.ask(lambda: self._found_or_refused(address, mailbox, password))
        if found is not None:
            return found
        invited = self._rules.registration == "invite"
        if invited and not await self._limits.admissions.admits(str(address), password):
            # Promises are forgotten once they are kept: the other login of this very client may
            # have made the account since we looked.
            return await self._reader.ask(lambda: _stored(mailbox)) or Refusal.NOT_INVITED
        return await self._make_once(mailbox, password, remote)

    async def _make_once(
        self, mailbox: Mailbox, password: str, remote: str | None
    ) -> Account | Refusal:
        """Make an account; who comes for the same one meanwhile waits for it.

        Clients log in over IMAP and SMTP at the same moment: it is hashed and counted once. All
        get the hash that holds, and Dovecot compares each one's password with it.
        """
        task = self._making.get(mailbox.path)
        if task is None:
            task = asyncio.ensure_future(self._make(mailbox, password, remote))
            self._making[mailbox.path] = task
            task.add_done_callback(lambda _: self._making.pop(mailbox.path))
        # Whoever leaves leaves alone.
        return await asyncio.shield(task)

    async def _make(self, mailbox: Mailbox, password: str, remote: str | None) -> Account | Refusal:
        found = await self._made_meanwhile(mailbox)
        if found is not None:
            return found
        if not self._limits.network.allow(remote, self._monotonic()):
            return Refusal.NETWORK
        made = await self._create(mailbox, password)
        if isinstance(made, Account) and self._rules.registration == "invite":
            await self._limits.admissions.used(made.address)
        return made

    async def _made_meanwhile(self, mailbox: Mailbox) -> Account | None:
        """Somebody may have made it since we looked, and counts once."""
        if self._at_hand:
            try:
                mailbox.hash_at_hand()
            except FileNotFoundError:
                return None
        return await self._reader.ask(lambda: _stored(mailbox))

    def _place(self, username: str) -> tuple[Address, Mailbox] | Refusal:
        try:
            address = Address.parse(username)
            mailbox = self._mailboxes.of(address)
        except InvalidAddress:
            return Refusal.NO_MAILBOX_NAME
        return Refusal.FOREIGN_DOMAIN if mailbox is None else (address, mailbox)

    def _told_at_once(self, mailbox: Mailbox) -> Account | None:
        with contextlib.suppress(FileNotFoundError):
            return _account(mailbox, mailbox.hash_at_hand()) if self._at_hand else None
        return None  # it may be aside, or to be made

    def _found(self, mailbox: Mailbox) -> Account | None:
        account = _stored(mailbox)
        if account is None:
            # Where there are no mailboxes at all, a disk is not mounted: mail would bounce.
            self._mailboxes.root.stat()
        return account

    def _found_or_refused(
        self, address: Address, mailbox: Mailbox, password: str
    ) -> Account | Refusal | None:
        """What the disk says of a login; None where the account is to be made."""
        account = _stored(mailbox)
        if account is not None:
            return account
        if mailbox.is_blocked():
            return Refusal.BLOCKED
        closed = self._limits.nocreate_path.exists()
        return policy.refusal(address, password, self._rules, closed=closed) or policy.shortage(
            self._limits.resources(), self._rules
        )

    async def _create(self, mailbox: Mailbox, password: str) -> Account | Refusal:
        """Hash and store. Of simultaneous first logins one wins, and all get its hash."""
        try:
            made = await self._maker.make(mailbox, password)
        except BlockedMailbox:
            return Refusal.BLOCKED
        if made.is_new:
            self._created += 1
            self._figures.created()
            log.info("an account was created (%d since the start)", self._created)
        return Account(mailbox.path.name, mailbox.path, made.password_hash)

    def _store(self, accounts: list[tuple[Mailbox, str]]) -> list[str | Exception]:
        return create_all(accounts, self._owner, int(self._clock()))


def _stored(mailbox: Mailbox) -> Account | None:
    return _account(mailbox, mailbox.password_hash())


def _account(mailbox: Mailbox, held: str | None) -> Account | None:
    return None if held is None else Account(mailbox.path.name, mailbox.path, held)
