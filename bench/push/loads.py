"""The loads: a burst, a gateway that answers at once, one that fails, a backlog of hours."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec
import uvloop

from bench.figures import percentile
from bench.problem import BenchProblem
from bench.process import Meter
from bench.push.gateway import Gateway
from bench.push.stand import Stand, stand, token_of
from bench.push.telling import Told, tell

LATENCY = 0.05
"""Seconds in which a gateway on the internet answers."""
WARM = 20
"""Messages before those that are measured: the service has just started."""
PATIENCE = 300.0
"""Seconds after which what did not come is a problem."""
FAILING = 10
"""One token in so many fails at its first try."""
OUTAGE_HOURS = 3.0
OUTAGE_SECONDS = 10.0
"""How long the gateway is watched while it is down."""
NEW_PER_S = 50.0
"""New messages a second while a backlog drains."""
_POLL_SECONDS = 0.01


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """Messages and their pushes. Times are from the beginning of a message's SET."""

    pushes: int
    sets_per_s: float
    pushes_per_s: float
    p50_s: float
    p95_s: float
    cpu_ms: float
    """Processor time of the service, a push, its SET and all."""


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Some tokens failed at their first try."""

    others: Pushed
    failed: int
    tries: float
    """Requests for each that failed."""
    retry_p95_s: float
    """From the first to the second."""


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """Pushes that waited while the gateway was down, and new ones while they drain."""

    owed: int
    start_s: float
    """From the start of the service to its first answer."""
    down_mb: float
    requests_per_s: float
    """While the gateway answers 500 to everything."""
    back_s: float
    """From when it is well again to the first request that it takes."""
    drain_per_s: float
    new_p50_s: float
    new_p95_s: float
    peak_mb: float


def burst(messages: int, latency: float) -> Pushed:
    """So many messages for as many tokens, as fast as they are answered; raises BenchProblem."""
    with stand() as place:
        users, warm = place.mailboxes("u", messages), place.mailboxes("warm", WARM)
        return uvloop.run(_burst(place, Gateway(latency), users, warm))


async def _burst(
    place: Stand, gateway: Gateway, users: Sequence[str], warm: Sequence[str]
) -> Pushed:
    async with warmed(place, gateway, warm) as meter:
        before = meter.cpu()
        told = await tell(place.socket, users)
        await until(lambda: len(gateway.arrivals) == len(warm) + len(users))
        # What follows the last answer is part of the work too.
        await asyncio.sleep(2 * gateway.latency + 0.1)
        return pushed_of(told, gateway, meter.cpu() - before)


@contextlib.asynccontextmanager
async def warmed(place: Stand, gateway: Gateway, users: Sequence[str]) -> AsyncIterator[Meter]:
    """The gateway and the service, which has told it of a message for each of `users`."""
    async with gateway:
        with place.metadata(gateway.url) as meter:
            await tell(place.socket, users)
            await until(lambda: len(gateway.arrivals) == len(users))
            yield meter


def failures(messages: int) -> Failures:
    """As a burst, but one token in ten fails at its first try; raises BenchProblem."""
    with stand() as place:
        users, warm = place.mailboxes("u", messages), place.mailboxes("warm", WARM)
        failing = {token_of(user) for user in users[::FAILING]}
        gateway = Gateway(LATENCY, lambda token, before: before == 0 and token in failing)
        return uvloop.run(_failures(place, gateway, users, warm, failing))


async def _failures(
    place: Stand, gateway: Gateway, users: Sequence[str], warm: Sequence[str], failing: set[str]
) -> Failures:
    async with warmed(place, gateway, warm) as meter:
        before = meter.cpu()
        told = await tell(place.socket, users)
        await until(lambda: all(len(gateway.arrivals.get(token, ())) > 1 for token in failing))
        cpu = meter.cpu() - before
    tries = [gateway.arrivals[token] for token in failing]
    others = [each for each in told if token_of(each.user) not in failing]
    return Failures(
        others=pushed_of(others, gateway, cpu * len(others) / len(told)),
        failed=len(tries),
        tries=sum(map(len, tries)) / len(tries),
        retry_p95_s=percentile(sorted(came[1] - came[0] for came in tries), 95),
    )


def backlog(owed: int) -> Backlog:
    """So many pushes wait for a gateway that is down, and then is well; raises BenchProblem."""
    with stand() as place:
        old = place.mailboxes("old", owed)
        new = place.mailboxes("new", int(NEW_PER_S * PATIENCE))
        place.owe(old, OUTAGE_HOURS * 3600)
        return uvloop.run(_backlog(place, old, new))


async def _backlog(place: Stand, old: Sequence[str], new: Sequence[str]) -> Backlog:
    well = False
    gateway = Gateway(LATENCY, lambda _token, _before: not well)
    async with gateway:
        pass  # its port is known now, and nobody there
    began = time.perf_counter()
    with place.metadata(gateway.url) as meter:
        start_s = time.perf_counter() - began
        await asyncio.sleep(OUTAGE_SECONDS)
        down_mb = meter.resident()
        async with gateway:
            await asyncio.sleep(OUTAGE_SECONDS)
            requests, well, began = gateway.requests, True, time.perf_counter()
            await until(lambda: gateway.requests > requests)
            back_s = time.perf_counter() - began
            told, seconds = await _drained(place, gateway, old, new)
        pushed = pushed_of(told, gateway, 0)
        return Backlog(
            owed=len(old),
            start_s=start_s,
            down_mb=down_mb,
            requests_per_s=requests / OUTAGE_SECONDS,
            back_s=back_s,
            drain_per_s=len(old) / seconds,
            new_p50_s=pushed.p50_s,
            new_p95_s=pushed.p95_s,
            peak_mb=meter.peak(),
        )


async def _drained(
    place: Stand, gateway: Gateway, old: Sequence[str], new: Sequence[str]
) -> tuple[list[Told], float]:
    """Tell of new messages until the backlog has gone; those, and how long that took."""
    wanted = {token_of(user) for user in old}
    told: list[Told] = []
    began = time.perf_counter()
    for at in range(0, len(new), int(NEW_PER_S)):
        told += await tell(place.socket, new[at : at + int(NEW_PER_S)], per_s=NEW_PER_S)
        if wanted <= gateway.arrivals.keys():
            break
    else:
        raise BenchProblem(f"a backlog of {len(old)} has not drained in {PATIENCE:g} s")
    seconds = max(gateway.arrivals[token][-1] for token in wanted) - began
    await until(lambda: {token_of(each.user) for each in told} <= gateway.arrivals.keys())
    return told, seconds


def pushed_of(told: Iterable[Told], gateway: Gateway, cpu: float) -> Pushed:
    """What became of messages; `cpu` is the service's processor time for them, in seconds."""
    told = list(told)
    arrived = [gateway.arrivals[token_of(each.user)][0] for each in told]
    began = min(each.begun for each in told)
    delays = sorted(came - each.begun for came, each in zip(arrived, told, strict=True))
    return Pushed(
        pushes=len(told),
        sets_per_s=len(told) / (max(each.answered for each in told) - began),
        pushes_per_s=len(told) / (max(arrived) - began),
        p50_s=percentile(delays, 50),
        p95_s=percentile(delays, 95),
        cpu_ms=cpu / len(told) * 1e3,
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to have come; raises BenchProblem."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise BenchProblem(f"pushes have not come within {PATIENCE:g} s")
        await asyncio.sleep(_POLL_SECONDS)
