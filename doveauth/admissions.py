"""Who may make an account where registration is by invitation: the seam to what keeps them."""

from typing import Protocol


class Admissions(Protocol):
    """Logins that were promised an account. Every method may raise OSError: not now."""

    async def admits(self, address: str, password: str) -> bool:
        """Whether this very login was promised an account that was not made yet."""

    async def used(self, address: str) -> None:
        """The account has been made: the promise is kept and may be forgotten."""


class NoAdmissions:
    """Promises nobody anything."""

    async def admits(self, _address: str, _password: str) -> bool:
        """Nobody was promised an account."""
        return False

    async def used(self, _address: str) -> None:
        """There was no promise to forget."""
