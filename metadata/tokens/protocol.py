"""What the service needs of a place where device tokens are kept."""

from collections.abc import Sequence
from typing import Protocol


class NoMailbox(LookupError):
    """The user has no mailbox here."""


class TokensUnavailable(Exception):
    """Tokens cannot be read or stored now. The message names the fault, no user and no token."""


class TokenStore(Protocol):
    """Device tokens of all addresses. Every method may raise TokensUnavailable.

    Times are in seconds since the epoch. No method may take long to answer: a store whose medium
    hangs raises TokensUnavailable after a bounded time.
    """

    async def valid(self, user: str, now: int, /) -> tuple[str, ...]:
        """Return the tokens of `user` that are valid at `now`; none if there is no mailbox."""

    async def add(self, user: str, tokens: Sequence[str], now: int, /) -> None:
        """Store that `tokens` were set at `now`: durably, all of them or none.

        Raises NoMailbox, and InvalidToken if one cannot be a token.
        """

    async def remove(self, user: str, token: str, /) -> None:
        """Forget `token`, durably; a token that is not stored is no error. Raises NoMailbox."""

    async def close(self) -> None:
        """Finish what is under way, for a bounded time."""
