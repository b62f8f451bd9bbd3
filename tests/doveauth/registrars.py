"""A registrar over a store in memory, whose terms a test sets."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from doveauth.invitations import Redemption
from doveauth.networks import NetworkLimit, Prefixes
from doveauth.policy import Resources, Rules
from doveauth.registrar import Registrar, Terms
from relay.ratelimit import LocalLimiter, RateLimiter
from tests.doveauth.stores.memory import MemoryAccounts

DOMAIN = "example.org"
RULES = Rules(
    username_min_length=9,
    username_max_length=9,
    password_min_length=9,
    max_load_1m=5,
    min_available_memory=100,
    min_free_disk_space=100,
)
PLENTY = Resources(load=0.5, memory=1000, disk=1000)


class Promises:
    """Admissions in memory."""

    def __init__(self, **logins: str) -> None:
        self.logins = {f"{local}@{DOMAIN}": password for local, password in logins.items()}
        self.tokens: dict[str, int] = {}

    async def redeem(self, token: str, address: str, password: str) -> Redemption:
        if not self.tokens.get(token):
            return Redemption.INVALID
        if address in self.logins:
            return Redemption.PROMISED
        self.tokens[token] -= 1
        self.logins[address] = password
        return Redemption.GRANTED

    async def admits(self, address: str, password: str) -> bool:
        return self.logins.get(address) == password

    async def used(self, address: str) -> None:
        del self.logins[address]


def network_limit(per_hour: int, monotonic: Callable[[], float] = lambda: 0.0) -> NetworkLimit:
    def limiter(count: int) -> LocalLimiter:
        return LocalLimiter(RateLimiter(count / 60, count), monotonic)

    return NetworkLimit(Prefixes(24, 64), limiter(per_hour), limiter(10 * per_hour))


def terms(
    *,
    rules: Rules = RULES,
    nocreate_path: Path = Path("/nonexistent/nocreate"),
    resources: Callable[[], Resources] = lambda: PLENTY,
    per_hour: int = 300,
    monotonic: Callable[[], float] = lambda: 0.0,
    promises: Promises | None = None,
) -> Terms:
    return Terms(
        domain=DOMAIN,
        rules=rules,
        nocreate_path=nocreate_path,
        resources=resources,
        creations=network_limit(per_hour, monotonic),
        offers=network_limit(per_hour, monotonic),
        admissions=promises or Promises(),
    )


@asynccontextmanager
async def registrar(
    of: Terms | None = None, store: MemoryAccounts | None = None
) -> AsyncIterator[Registrar]:
    """Run a registrar, and close it."""
    made = Registrar(store or MemoryAccounts(), of or terms())
    try:
        yield made
    finally:
        await made.close()
