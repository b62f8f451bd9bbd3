"""Turns: of large messages under way, so many octets are looked at per turn of the event loop.

Without them, thirty large messages are read in each turn, and a small one beside them, which takes
some eight turns from its connection to its reply, waits for 240 pieces in place of eight.
"""

import asyncio
from collections import deque

PER_TURN = 32 * 1024
"""Octets, or one piece where that has more. The dearest that were found take a millisecond."""


class Turns:
    """What the large messages of one service take turns at."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._used = 0

    async def take(self, octets: int) -> None:
        """Wait for a turn of the loop that has room for a piece: first come, first served."""
        loop = asyncio.get_running_loop()
        if not self._used:
            loop.call_soon(self._next)
        elif self._waiting or self._used + octets > PER_TURN:
            mine = loop.create_future()
            self._waiting.append((mine, octets))
            await mine
            return
        self._used += octets

    def _next(self) -> None:
        self._used = 0
        while self._waiting:
            mine, octets = self._waiting[0]
            if self._used and self._used + octets > PER_TURN:
                break
            self._waiting.popleft()
            if not mine.done():  # or its task was cancelled
                mine.set_result(None)
                self._used += octets
        if self._used:
            asyncio.get_running_loop().call_soon(self._next)
