"""One user's garbage: many tokens that always fail, fresh ones for each of many messages."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import msgspec
import uvloop

from bench.push.gateway import Gateway
from bench.push.loads import LATENCY, WARM, Pushed, pushed_of, until, warmed
from bench.push.stand import Stand, stand, token_of
from bench.push.telling import tell
from metadata.tokens.tokenset import MAX_TOKENS

HONEST_PER_S = 20.0
"""Messages for others, each with a good token."""
ATTACKS_PER_S = 5.0
GARBAGE = "garbage:"


class Attacked(msgspec.Struct, frozen=True, kw_only=True):
    """Others' pushes without and with the attack."""

    quiet: Pushed
    attacked: Pushed
    garbage: int
    """Requests with garbage that the gateway had meanwhile."""


def attacked(messages: int) -> Attacked:
    """So many honest messages without, and as many with the attack; raises BenchProblem."""
    with stand() as place:
        users = place.mailboxes("u", 2 * messages)
        warm, (attacker,) = place.mailboxes("warm", WARM), place.mailboxes("attacker", 1)
        return uvloop.run(_attacked(place, users, warm, attacker))


async def _attacked(place: Stand, users: list[str], warm: list[str], attacker: str) -> Attacked:
    gateway = Gateway(LATENCY, lambda token, _before: token.startswith(GARBAGE))
    half = len(users) // 2
    async with warmed(place, gateway, warm):
        quiet = await _honest(place, gateway, users[:half])
        async with _attack(place, attacker):
            loud = await _honest(place, gateway, users[half:])
    garbage = sum(len(came) for name, came in gateway.arrivals.items() if name.startswith(GARBAGE))
    return Attacked(quiet=quiet, attacked=loud, garbage=garbage)


async def _honest(place: Stand, gateway: Gateway, users: list[str]) -> Pushed:
    told = await tell(place.socket, users, per_s=HONEST_PER_S)
    await until(lambda: all(token_of(user) in gateway.arrivals for user in users))
    return pushed_of(told, gateway, 0)


@contextlib.asynccontextmanager
async def _attack(place: Stand, attacker: str) -> AsyncIterator[None]:
    async def attack() -> None:
        for number in itertools.count():
            place.set_tokens(attacker, [f"{GARBAGE}{number}-{n}" for n in range(MAX_TOKENS)])
            await tell(place.socket, [attacker])
            await asyncio.sleep(1 / ATTACKS_PER_S)

    attacking = asyncio.ensure_future(attack())
    yield
    attacking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await attacking
