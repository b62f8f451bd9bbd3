"""What an account store has to do, whatever it keeps accounts in.

A store knows nothing of passwords, rules and limits: `doveauth.registrar` decides who may have an
account. `tests/doveauth/stores/contract.py` has what every store must satisfy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from relay.address import Address


@dataclass(frozen=True, slots=True)
class Account:
    """An existing account."""

    address: str
    home: Path
    """Where Dovecot keeps its mail."""
    password_hash: str
    """With its scheme, `{SHA512-CRYPT}$6$…`."""


class Blocked(Exception):
    """The operator has blocked the address: it has no account, and nobody may make one."""


class AccountStore(Protocol):
    """Accounts of one domain.

    Addresses given to it have a `mailbox_name()` and are of that domain. Every method raises
    OSError where the store cannot answer now; its `strerror` names nobody.
    """

    async def find(self, address: Address) -> Account | None:
        """Return the account, None where there is none; raises Blocked.

        An account that expiry has set aside is restored first.
        """

    async def create(self, address: Address, password_hash: str) -> Account:
        """Make the account unless it exists, durably, and return the one that holds.

        Of simultaneous calls for one address one wins, and all return its account. Raises Blocked.
        """

    async def touch(self, address: Address, timestamp: int) -> None:
        """Record the day of a login at `timestamp`, in seconds since the epoch.

        An address without an account stays without one.
        """

    async def names(self) -> list[str]:
        """Return every account's address, in any order."""

    async def close(self) -> None:
        """Finish what is under way and release threads and connections."""
