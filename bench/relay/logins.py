"""Logins at a relay: IMAP and submission of accounts that are there, and first logins."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from bench.figures import percentile
from bench.relay.clients import Inbox, Submission
from bench.relay.programs import Ledger
from bench.relay.stand import accounts, fresh
from sandbox.login import Login
from sandbox.relay import Sandbox

AT_ONCE = 8


class Logins(msgspec.Struct, frozen=True, kw_only=True):
    """Logins of one kind, from the connection's first octet to the goodbye."""

    per_s: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    """Processor time per login, of all processes."""


async def measure(sandbox: Sandbox, count: int) -> dict[str, Logins]:
    """So many logins of each kind, by its name. Raises BenchProblem."""
    there = accounts(sandbox, count)

    async def imap(login: Login) -> None:
        client = await Inbox.log_in(sandbox.ports, login)
        await client.command("LOGOUT")
        await client.close()

    async def submission(login: Login) -> None:
        client = await Submission.log_in(sandbox.ports, login)
        await client.quit()

    return {
        "IMAP": await _logins(sandbox, there, imap),
        "submission": await _logins(sandbox, there, submission),
        "IMAP, first": await _logins(sandbox, [fresh(sandbox) for _ in there], imap),
    }


async def _logins(
    sandbox: Sandbox, logins: Sequence[Login], log_in: Callable[[Login], Awaitable[None]]
) -> Logins:
    # The first ones start processes and are not counted.
    await asyncio.gather(*(log_in(login) for login in logins[:AT_ONCE]))
    waiting, took = iter(logins[AT_ONCE:]), []

    async def in_turn() -> None:
        for login in waiting:
            began = time.monotonic()
            await log_in(login)
            took.append(time.monotonic() - began)

    ledger = Ledger(sandbox)
    ledger.begin()
    began = time.monotonic()
    await asyncio.gather(*(in_turn() for _ in range(AT_ONCE)))
    seconds = time.monotonic() - began
    cpu, ordered = sum(ledger.end().values()), sorted(took)
    return Logins(
        per_s=len(took) / seconds,
        p50_ms=percentile(ordered, 50) * 1e3,
        p95_ms=percentile(ordered, 95) * 1e3,
        cpu_ms=cpu / len(took) * 1e3,
    )
