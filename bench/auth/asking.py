"""A load of passdb questions over HTTP, as Dovecot's Lua asks them."""

import asyncio
import itertools
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

import msgspec
import uvloop

from bench.figures import percentile
from bench.problem import BenchProblem

_FOUND = b"HTTP/1.1 200 "
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")
CONNECT_SECONDS = 10.0


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a load came to. Latencies are from a question to the last octet of its answer."""

    answers: int
    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def answered(latencies: Iterable[float], seconds: float) -> Answered:
    """Sum up answers that took `latencies` and `seconds` in all; raises BenchProblem for none."""
    ordered = sorted(latencies)
    if not ordered:
        raise BenchProblem("nothing was answered")
    return Answered(
        answers=len(ordered),
        per_s=len(ordered) / seconds,
        p50_ms=percentile(ordered, 50) * 1e3,
        p95_ms=percentile(ordered, 95) * 1e3,
        p99_ms=percentile(ordered, 99) * 1e3,
    )


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Questions over `connections`, each with one at a time, for `seconds` or until none is left.

    `names` are asked for in turns, again and again if `endless`. `rate` holds all together to so
    many a second; None asks as fast as answers come.
    """

    names: Sequence[str]
    password: str
    connections: int
    seconds: float
    endless: bool = True
    rate: float | None = None


def ask(path: Path, loads: Sequence[Load]) -> list[Answered]:
    """Put several loads at the same time on the socket at `path`; raises BenchProblem.

    The endless ones end with the first that has an end.
    """
    return uvloop.run(_ask(path, loads))


async def _ask(path: Path, loads: Sequence[Load]) -> list[Answered]:
    runs = [_Run(load) for load in loads]
    tasks = [asyncio.ensure_future(run.go(path)) for run in runs]
    bounded = [task for task, load in zip(tasks, loads, strict=True) if not load.endless]
    await asyncio.wait(bounded or tasks)
    for run in runs:
        run.stop()
    await asyncio.gather(*tasks)
    return [run.answered() for run in runs]


class _Run:
    """One load under way."""

    def __init__(self, load: Load) -> None:
        self.latencies: list[float] = []
        self._load = load
        self._stopping = False
        self._seconds = 0.0

    async def go(self, path: Path) -> None:
        load = self._load
        cycle: Iterable[str] = itertools.cycle(load.names) if load.endless else load.names
        questions = iter(_questions(cycle, load.password))
        loop = asyncio.get_running_loop()
        clients = []
        for number in range(load.connections):
            pause = load.connections / load.rate if load.rate else 0.0
            client = _Client(self, questions, pause, number * pause / load.connections)
            await asyncio.wait_for(
                loop.create_unix_connection(partial(_same, client), str(path)),
                CONNECT_SECONDS,
            )
            clients.append(client)
        began = time.perf_counter()
        loop.call_later(load.seconds, self.stop)
        for client in clients:
            client.begin()
        await asyncio.gather(*(client.done for client in clients))
        self._seconds = time.perf_counter() - began

    def stop(self) -> None:
        self._stopping = True

    @property
    def stopping(self) -> bool:
        return self._stopping

    def answered(self) -> Answered:
        return answered(self.latencies, self._seconds)


class _Client(asyncio.Protocol):
    """One connection: a question, its answer, the next question."""

    def __init__(self, run: _Run, questions: Iterator[bytes], pause: float, delay: float) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._run = run
        self._questions = questions
        self._pause = pause
        self._delay = delay
        self._asked = 0.0
        self._partial = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def begin(self) -> None:
        asyncio.get_running_loop().call_later(self._delay, self._next)

    def _next(self) -> None:
        question = None if self._run.stopping else next(self._questions, None)
        if question is None:
            self._transport.close()
            return
        self._asked = time.perf_counter()
        self._transport.write(question)

    def data_received(self, data: bytes) -> None:
        self._partial += data
        head, end, body = self._partial.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if not end or (length and len(body) < int(length[1])):
            return
        now = time.perf_counter()
        if not self._partial.startswith(_FOUND):
            self._fail(f"doveauth answered {self._partial[:40]!r}")
            return
        self._partial = b""
        self._run.latencies.append(now - self._asked)
        if self._pause:
            wait = max(self._pause - (now - self._asked), 0.0)
            asyncio.get_running_loop().call_later(wait, self._next)
        else:
            self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _fail(self, what: str) -> None:
        self.done.set_exception(BenchProblem(what))
        self._transport.close()


def _same(client: _Client) -> _Client:
    return client


def _questions(names: Iterable[str], password: str) -> Iterator[bytes]:
    for name in names:
        form = urlencode({"username": name, "password": password, "remote": "192.0.2.7"})
        yield (
            "POST /passdb HTTP/1.1\r\nHost: doveauth\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(form)}\r\n\r\n{form}"
        ).encode("ascii")
