"""Accounts as mailbox directories, in the on-disk form of existing relays.

A disk may be slow, so every call runs in a thread. Creations have threads of their own: a crowd of
new users must not hold up those who only log in.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from doveauth.stores.protocol import Account, Blocked
from relay.address import Address
from relay.mailbox.directory import BlockedMailbox, Mailbox, Mailboxes
from relay.owner import Owner

READERS = 8
"""Threads that look accounts up: so many may wait for the disk at a time."""
MAKERS = 8
"""Threads that store new accounts, nearly all of whose time is waiting for the disk."""

T = TypeVar("T")


class FileAccounts:
    """An `AccountStore` in the mailbox directories."""

    def __init__(
        self, mailboxes: Mailboxes, owner: Owner, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` returns seconds since the epoch."""
        self._mailboxes = mailboxes
        self._owner = owner
        self._clock = clock
        self._readers = ThreadPoolExecutor(READERS, "accounts-read")
        self._makers = ThreadPoolExecutor(MAKERS, "accounts-make")

    async def find(self, address: Address) -> Account | None:
        """Return the account, None where there is none; raises Blocked, OSError."""
        return await _run(self._readers, lambda: self._find(self._mailbox(address)))

    async def create(self, address: Address, password_hash: str) -> Account:
        """Make the account unless it exists; raises Blocked, OSError."""
        return await _run(self._makers, lambda: self._create(self._mailbox(address), password_hash))

    async def touch(self, address: Address, timestamp: int) -> None:
        """Record the day of a login; raises OSError."""
        await _run(self._readers, lambda: self._mailbox(address).record_login(timestamp))

    async def names(self) -> list[str]:
        """Return every account's address, in any order; raises OSError."""
        return await _run(self._readers, self._names)

    async def close(self) -> None:
        """Finish what is under way and end the threads."""
        for threads in (self._makers, self._readers):
            await asyncio.to_thread(threads.shutdown)

    def _mailbox(self, address: Address) -> Mailbox:
        """Return the mailbox, made or not; raises NotMounted."""
        self._mailboxes.check_mounted()
        mailbox = self._mailboxes.of(address)
        assert mailbox is not None, "an address of another domain"
        return mailbox

    def _names(self) -> list[str]:
        self._mailboxes.check_mounted()
        return self._mailboxes.names()

    def _create(self, mailbox: Mailbox, password_hash: str) -> Account:
        try:
            return _account(mailbox, mailbox.create(password_hash, self._owner, int(self._clock())))
        except BlockedMailbox:
            raise Blocked from None

    @staticmethod
    def _find(mailbox: Mailbox) -> Account | None:
        held = mailbox.recover_and_read()
        if held is not None:
            return _account(mailbox, held)
        if mailbox.is_blocked():
            raise Blocked
        return None


def _account(mailbox: Mailbox, password_hash: str) -> Account:
    return Account(mailbox.path.name, mailbox.path, password_hash)


async def _run(threads: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, function)
