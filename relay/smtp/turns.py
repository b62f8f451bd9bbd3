"""Turns: of large messages under way, so many octets are looked at per turn of the event loop.

Without them, thirty large messages are read in each turn, and a small one beside them, which takes
some eight turns from its connection to its reply, waits for 240 pieces in place of eight.
"""

import asyncio
from collections import deque
from collections.abc import Sized

PER_TURN = 32 * 1024
"""Octets. The dearest that were found take a millisecond."""
FEW = 10
"""Sessions that are few enough to do without: turns take a tenth of the time of large messages."""


class Turns:
    """What the large messages of one service take turns at; `sessions` are all that there are."""

    def __init__(self, sessions: Sized) -> None:
        self._sessions = sessions
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        # Octets since somebody had to wait, not since a turn began: nobody would tell that.
        self._used = 0

    async def take(self, octets: int) -> None:
        """Wait for the turn of a piece: first come, first served."""
        if not self._waiting and (self._used < PER_TURN or len(self._sessions) <= FEW):
            self._used += octets
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._next)
        mine = loop.create_future()
        self._waiting.append((mine, octets))
        await mine

    def _next(self) -> None:
        self._used = 0
        while self._waiting and self._used < PER_TURN:
            mine, octets = self._waiting.popleft()
            if not mine.done():  # or its task was cancelled
                mine.set_result(None)
                self._used += octets
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
