"""What the mailboxes say of an incoming message's recipients."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from relay.address import Address, InvalidAddress
from relay.mailbox.directory import Mailboxes


class Wish(Enum):
    """What a recipient takes."""

    NOTHING = "there is no such mailbox, or it is blocked"
    ENCRYPTED = "encrypted mail"
    ANYTHING = "cleartext as well"
    OPERATOR = "the operator's mail, cleartext as well, within limits"
    ELSEWHERE = "the address is of another domain: Postfix decides"


ROLES = frozenset(("postmaster", "abuse"))
"""Names that reach the operator: everybody must be able to (RFC 5321, 4.5.1; RFC 2142)."""


class Recipients(Protocol):
    """Where filtermail asks."""

    async def wishes(self, addresses: Sequence[Address]) -> list[Wish]:
        """What each address takes, in order; raises OSError: that cannot be said now."""


class MailboxRecipients:
    """Asks the mailbox directories, in a thread: a disk may be slow.

    With `operator`, Postfix passes on what comes for `ROLES`, which have no mailboxes.
    """

    def __init__(self, mailboxes: Mailboxes, *, operator: bool = False) -> None:
        self._mailboxes = mailboxes
        self._roles = ROLES if operator else frozenset()

    async def wishes(self, addresses: Sequence[Address]) -> list[Wish]:
        """As `Recipients` says."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._read, addresses)

    def _read(self, addresses: Sequence[Address]) -> list[Wish]:
        self._mailboxes.check_mounted()
        return [self._wish(address) for address in addresses]

    def _wish(self, address: Address) -> Wish:
        try:
            mailbox = self._mailboxes.of(address)
        except InvalidAddress:
            return Wish.NOTHING
        if mailbox is None:
            return Wish.ELSEWHERE
        if address.local in self._roles:
            return Wish.OPERATOR
        if not mailbox.exists():
            return Wish.NOTHING
        return Wish.ANYTHING if mailbox.accepts_cleartext() else Wish.ENCRYPTED
