"""The accounts of a relay: found, made at the first login, listed.

`AccountStore` is what the daemon asks; `FileAccounts` keeps them in the mailbox directories.
Every question goes to a thread, because a disk may be slow and hashing always is. Creations have
threads of their own: a crowd of new users must not hold up those who only log in.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from doveauth import policy
from doveauth.admissions import Admissions, NoAdmissions
from doveauth.figures import Figures
from doveauth.hashing import hash_password, new_salt
from doveauth.networks import NetworkLimit
from doveauth.policy import Refusal, Resources, Rules
from relay.address import Address, InvalidAddress
from relay.mailbox.directory import BlockedMailbox, Mailbox, Mailboxes
from relay.owner import Owner

log = logging.getLogger(__name__)

READERS = 8
"""Threads that look accounts up: so many may wait for the disk at a time."""
MAKERS = 2 * (os.cpu_count() or 1)
"""Threads that hash and store new accounts: every core hashes while others wait for the disk."""

T = TypeVar("T")


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
    ) -> None:
        """`clock` gives seconds since the epoch, `monotonic` seconds that never jump."""
        self._mailboxes = mailboxes
        self._owner = owner
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._figures = figures or Figures()
        self._readers = ThreadPoolExecutor(READERS, "accounts-read")
        self._makers = ThreadPoolExecutor(MAKERS, "accounts-make")
        self._making: dict[Path, asyncio.Task[Account | Refusal]] = {}
        self._created = 0
        self._refused: Counter[Refusal] = Counter()

    async def find(self, username: str) -> Account | None:
        """The account of that name, None where there is none or it is blocked."""
        place = self._place(username)
        if isinstance(place, Refusal):
            return None
        mailbox = place[1]
        return await self._read(lambda: self._found(mailbox))

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
            await self._read(lambda: place[1].record_login(timestamp))

    async def names(self) -> list[str]:
        """Every account's address, in no order."""
        return await asyncio.to_thread(self._mailboxes.names)

    async def close(self) -> None:
        """Let what is under way end, and end the threads."""
        for threads in (self._makers, self._readers):
            await asyncio.to_thread(threads.shutdown)

    async def _read(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, question)

    async def _admit(self, username: str, password: str, remote: str | None) -> Account | Refusal:
        place = self._place(username)
        if isinstance(place, Refusal):
            return place
        address, mailbox = place
        found = await self._read(lambda: self._found_or_refused(address, mailbox, password))
        if found is not None:
            return found
        invited = self._rules.registration == "invite"
        if invited and not await self._limits.admissions.admits(str(address), password):
            # Promises are forgotten once they are kept: the other login of this very client may
            # have made the account since we looked.
            return await self._read(lambda: _stored(mailbox)) or Refusal.NOT_INVITED
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
        # Somebody may have made it since we looked, and counts once.
        found = await self._read(lambda: _stored(mailbox))
        if found is not None:
            return found
        if not self._limits.network.allow(remote, self._monotonic()):
            return Refusal.NETWORK
        made = await self._create(mailbox, password)
        if isinstance(made, Account) and self._rules.registration == "invite":
            await self._limits.admissions.used(made.address)
        return made

    def _place(self, username: str) -> tuple[Address, Mailbox] | Refusal:
        try:
            address = Address.parse(username)
            mailbox = self._mailboxes.of(address)
        except InvalidAddress:
            return Refusal.NO_MAILBOX_NAME
        return Refusal.FOREIGN_DOMAIN if mailbox is None else (address, mailbox)

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
        loop = asyncio.get_running_loop()
        try:
            made, held = await loop.run_in_executor(self._makers, self._hashed, mailbox, password)
        except BlockedMailbox:
            return Refusal.BLOCKED
        if made == held:
            self._created += 1
            self._figures.created()
            log.info("an account was created (%d since the start)", self._created)
        return Account(mailbox.path.name, mailbox.path, held)

    def _hashed(self, mailbox: Mailbox, password: str) -> tuple[str, str]:
        """Store a login's hash; return it and the hash that holds."""
        made = hash_password(password, new_salt())
        return made, mailbox.create(made, self._owner, int(self._clock()))


def _stored(mailbox: Mailbox) -> Account | None:
    held = mailbox.recover_and_read()
    return None if held is None else Account(mailbox.path.name, mailbox.path, held)
