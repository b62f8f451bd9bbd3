"""An account store in memory, for tests of what stands above it."""

from pathlib import Path

from doveauth.stores.protocol import Account, Blocked
from relay.address import Address


class MemoryAccounts:
    """An `AccountStore` whose trouble can be set."""

    def __init__(self) -> None:
        self.accounts: dict[Address, Account] = {}
        self.blocked: set[Address] = set()
        self.days: dict[Address, int] = {}
        self.trouble: OSError | None = None
        self.trouble_of_creations: BaseException | None = None

    async def find(self, address: Address) -> Account | None:
        self._check(address)
        return self.accounts.get(address)

    async def create(self, address: Address, password_hash: str) -> Account:
        self._check(address)
        if self.trouble_of_creations:
            raise self.trouble_of_creations
        home = Path("/mail", str(address))
        return self.accounts.setdefault(address, Account(str(address), home, password_hash))

    async def touch(self, address: Address, timestamp: int) -> None:
        if self.trouble:
            raise self.trouble
        if address in self.accounts:
            self.days[address] = timestamp - timestamp % 86400

    async def names(self) -> list[str]:
        if self.trouble:
            raise self.trouble
        return [str(address) for address in self.accounts if address not in self.blocked]

    async def close(self) -> None:
        pass

    def _check(self, address: Address) -> None:
        if self.trouble:
            raise self.trouble
        if address in self.blocked:
            raise Blocked
