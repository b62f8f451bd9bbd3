"""Tells the metadata service of messages as Dovecot's Lua does: each on a connection of its own."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from bench.problem import BenchProblem

AT_ONCE = 16
"""Deliveries under way at a time; Postfix' own limit to one destination is 20."""
_ANSWER = b"O1\n"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One message: when its SET was begun, and when it was answered (`time.perf_counter`)."""

    user: str
    begun: float
    answered: float


async def tell(
    path: Path, users: Sequence[str], *, at_once: int = AT_ONCE, per_s: float | None = None
) -> list[Told]:
    """Tell of one message for each of `users`; raises BenchProblem where one is not answered.

    As fast as answers come, or so many a second.
    """
    queue = iter(users)
    if per_s is None:
        workers = [_tell_in_turn(path, queue) for _ in range(at_once)]
        return [told for each in await asyncio.gather(*workers) for told in each]
    tasks = []
    began = time.perf_counter()
    for number, user in enumerate(queue):
        await asyncio.sleep(max(began + number / per_s - time.perf_counter(), 0))
        tasks.append(asyncio.ensure_future(_tell(path, user)))
    return await asyncio.gather(*tasks)


async def _tell_in_turn(path: Path, users: Iterator[str]) -> list[Told]:
    return [await _tell(path, user) for user in users]


async def _tell(path: Path, user: str) -> Told:
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    _, message = await loop.create_unix_connection(partial(_Message, user), str(path))
    return Told(user=user, begun=begun, answered=await message.answered)


class _Message(asyncio.Protocol):
    """The connection that tells of one message."""

    def __init__(self, user: str) -> None:
        self.answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._user = user
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            f"H3\t2\t0\t\tmetadata\nB1\t{self._user}\nS1\tpriv/0/messagenew\t\nC1\n".encode("ascii")
        )

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received == _ANSWER:
            self.answered.set_result(time.perf_counter())
        if self._received.endswith(b"\n"):
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(
                BenchProblem(f"a message was answered {self._received[:40]!r}")
            )
