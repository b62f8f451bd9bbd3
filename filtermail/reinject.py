"""The connections into Postfix' reinject service: opened as needed, and used again.

A connection that was used before may have died since, silently. If it fails before any octet of a
message went into it, the transaction is opened again on a new one, and the client notices nothing.
Once octets went in it never is: nothing is delivered twice.
"""

import asyncio
import os
from collections.abc import Callable, Sequence

from relay.smtp.client import CLOSING, Connect, Connection, Patience, Refused, Unavailable
from relay.smtp.watch import Watch

MAX_CONNECTIONS = 100
"""At a time: Postfix' default_process_limit, which is what answers on the other side."""
MAX_IDLE = 10
"""Connections kept for the next message while none waits, each of which holds one smtpd."""
IDLE_SECONDS = 20.0
"""How long; far below Postfix' smtpd_timeout of 300 s."""
PATIENCE = Patience(opening=12.0, stall=10.0, verdict=33.0)
"""Together under the 60 s after which clients give up. The verdict has most of it: a message that
Postfix queues after we gave it up is sent again by its client, and arrives twice."""


class Pool:
    """Connections to one reinject service."""

    def __init__(self, connect: Connect, helo: str, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never jump."""
        self._connect = connect
        self._helo = helo
        self._clock = clock
        self._watch = Watch()
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[Connection] = []

    async def begin(
        self, sender: str, parameters: Sequence[str], recipients: Sequence[str]
    ) -> Connection:
        """A connection on which the transaction is open; raises Refused, Unavailable.

        The caller gives it back with `release`, in any event.
        """
        await self._acquire()
        try:
            return await self._begin(sender, parameters, recipients)
        except OSError as error:
            # asyncio's own text for one and the same error has an address in it, or has not.
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            self._free.release()
            raise Unavailable(f"it cannot be reached: {why}") from None
        except BaseException:
            self._free.release()
            raise

    async def _acquire(self) -> None:
        """Take one of the places; raises Unavailable where none becomes free in time."""
        if not self._free.locked():
            await self._free.acquire()  # at once
            return
        try:
            async with asyncio.timeout(PATIENCE.opening):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(f"all {MAX_CONNECTIONS} connections are busy") from None

    async def _begin(
        self, sender: str, parameters: Sequence[str], recipients: Sequence[str]
    ) -> Connection:
        while True:
            connection = self._take_idle()
            fresh = connection is None
            if connection is None:
                connection = await self._open()
            try:
                await connection.begin(sender, parameters, recipients)
            except BaseException as error:
                connection.drop()
                gone = isinstance(error, Unavailable) or (
                    isinstance(error, Refused) and error.reply.code == CLOSING
                )
                if fresh or not gone:
                    raise
            else:
                return connection

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(PATIENCE.opening):
                return await Connection.open(self._connect, self._helo, self._watch, PATIENCE)
        except TimeoutError:
            raise Unavailable("it does not answer in time") from None

    def _take_idle(self) -> Connection | None:
        self._expire()
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
            connection.drop()
        return None

    def release(self, connection: Connection, *, clean: bool) -> None:
        """Give a connection back; one that is not `clean`, between transactions, is dropped."""
        wanted = len(self._idle) < MAX_IDLE or self._free.locked()
        self._free.release()
        if clean and connection.alive and wanted:
            connection.idle_since = self._clock()
            self._idle.append(connection)
        else:
            connection.drop()

    def _expire(self) -> None:
        """Close what has been idle for too long; the oldest are first."""
        oldest = self._clock() - IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._watch.close()
