"""The accounts of a relay: found, made at the first login, listed.

`AccountStore` is what the daemon asks; `FileAccounts` keeps them in the mailbox directories.
Every question goes to a thread, because a disk may be slow and hashing always is. Creations
have threads of their own: a crowd of new users must not hold up those who only log in.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from doveauth import policy
from doveauth.hashing import hash_password, new_salt
from doveauth.policy import Refusal, Rules
from relay.address import Address, InvalidAddress
from relay.mailbox import BlockedMailbox, Mailbox, Mailboxes, Owner

log = logging.getLogger(__name__)

READERS = 4
"""Threads that look accounts up: enough that one listing of everybody holds up no login."""
CREATORS = (os.cpu_count() or 1) + 1
"""Threads that make accounts: every core hashes while one more waits for the disk."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is there."""

    address: str
    home: Path
    password_hash: str


class AccountStore(Protocol):
    """Who has an account. Every method may raise OSError: the store cannot answer now."""

    async def find(self, username: str) -> Account | None:
        """The account of that name, None where there is none or it is blocked."""

    async def login_or_create(self, username: str, password: str) -> Account | None:
        """The account of that name, made with this password if it is not there and may be.

        The password of an account that is there is not looked at: Dovecot verifies it.
        """

    async def record_login(self, username: str, timestamp: int) -> None:
        """Note the day of a login at `timestamp`, in seconds since the epoch."""

    async def names(self) -> list[str]:
        """Every account's address."""


class FileAccounts:
    """Accounts as mailbox directories, in the on-disk form of existing relays."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        owner: Owner,
        rules: Rules,
        nocreate_path: Path,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds since the epoch; while `nocreate_path` is there none is made."""
        self._mailboxes = mailboxes
        self._owner = owner
        self._rules = rules
        self._nocreate_path = nocreate_path
        self._clock = clock
        self._readers = ThreadPoolExecutor(READERS, "accounts-read")
        self._creators = ThreadPoolExecutor(CREATORS, "accounts-create")
        self._created = 0
        self._refused: Counter[Refusal] = Counter()

    async def find(self, username: str) -> Account | None:
        """The account of that name, None where there is none or it is blocked."""
        place = self._place(username)
        if isinstance(place, Refusal):
            return None
        return await _in(self._readers, lambda: _stored(place[1]))

    async def login_or_create(self, username: str, password: str) -> Account | None:
        """The account of that name, made if it may be; raises OSError and HashingFailed."""
        account = await self._admit(username, password)
        if isinstance(account, Refusal):
            self._refused[account] += 1
            count = self._refused[account]
            log.info("no account was created: %s (%d times)", account.value, count)
            return None
        return account

    async def record_login(self, username: str, timestamp: int) -> None:
        """Note the day of a login; a name without an account is left without one."""
        place = self._place(username)
        if not isinstance(place, Refusal):
            await _in(self._readers, lambda: place[1].record_login(timestamp))

    async def names(self) -> list[str]:
        """Every account's address, in no order."""
        return await _in(self._readers, self._mailboxes.names)

    async def close(self) -> None:
        """Let what is under way end, and end the threads."""
        for executor in (self._readers, self._creators):
            await asyncio.to_thread(executor.shutdown)

    async def _admit(self, username: str, password: str) -> Account | Refusal:
        place = self._place(username)
        if isinstance(place, Refusal):
            return place
        address, mailbox = place
        found = await _in(self._readers, lambda: self._found_or_refused(address, mailbox, password))
        if found is None:
            return await _in(self._creators, lambda: self._create(mailbox, password))
        return found

    def _place(self, username: str) -> tuple[Address, Mailbox] | Refusal:
        try:
            address = Address.parse(username)
            mailbox = self._mailboxes.of(address)
        except InvalidAddress:
            return Refusal.NO_MAILBOX_NAME
        return Refusal.FOREIGN_DOMAIN if mailbox is None else (address, mailbox)

    def _found_or_refused(
        self, address: Address, mailbox: Mailbox, password: str
    ) -> Account | Refusal | None:
        """What the disk says of a login; None where the account is to be made."""
        account = _stored(mailbox)
        if account is not None:
            return account
        if mailbox.is_blocked():
            return Refusal.BLOCKED
        closed = self._nocreate_path.exists()
        return policy.refusal(address, password, self._rules, closed=closed)

    def _create(self, mailbox: Mailbox, password: str) -> Account | Refusal:
        """Hash and store. Of simultaneous first logins one wins, and all get its hash."""
        password_hash = hash_password(password, new_salt())
        try:
            held = mailbox.create(password_hash, self._owner, int(self._clock()))
        except BlockedMailbox:
            return Refusal.BLOCKED
        if held == password_hash:
            self._created += 1
            log.info("an account was created (%d since the start)", self._created)
        return Account(mailbox.path.name, mailbox.path, held)


def _stored(mailbox: Mailbox) -> Account | None:
    held = mailbox.password_hash()
    return None if held is None else Account(mailbox.path.name, mailbox.path, held)


async def _in(executor: ThreadPoolExecutor, question: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, question)
