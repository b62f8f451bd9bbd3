"""Who may make an account where registration is by invitation."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from doveauth.invitations import Invitations

T = TypeVar("T")


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


class InvitationAdmissions:
    """Promises whoever redeems an invitation an account. Raises OSError: not now."""

    def __init__(self, invitations: Invitations, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since the epoch."""
        self._invitations = invitations
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "invitations")

    async def redeem(self, token: str, address: str, password: str) -> bool:
        """Use an invitation for this login, durably; whether it was good."""
        now = int(self._clock())
        return await self._run(lambda: self._invitations.redeem(token, address, password, now))

    async def admits(self, address: str, password: str) -> bool:
        """Whether this very login was promised an account that was not made yet."""
        now = int(self._clock())
        return await self._run(lambda: self._invitations.admits(address, password, now))

    async def used(self, address: str) -> None:
        """The account has been made: the promise is forgotten."""
        await self._run(lambda: self._invitations.used(address))

    async def close(self) -> None:
        """Let what is under way end."""
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)
