"""Turns: what large messages wait for, and small ones do not."""

import asyncio
from collections.abc import Sized

import pytest

from relay.smtp.datastream import Piece
from relay.smtp.server import SMALL, Source
from relay.smtp.turns import FEW, PER_TURN, Turns
from tests.support import DEADLINE


class Loop:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.number = 0
        self._ended = False
        asyncio.get_running_loop().call_soon(self._count)

    def _count(self) -> None:
        self.number += 1
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._count)

    def end(self) -> None:
        self._ended = True


CROWD = range(FEW + 1)


async def when(sizes: list[int], sessions: Sized = CROWD) -> list[int]:
    """In which turn of the loop pieces have theirs, all asked for in the first; from 0."""
    turns, loop, taken = Turns(sessions), Loop(), [-1] * len(sizes)

    async def one(number: int, size: int) -> None:
        await turns.take(size)
        taken[number] = loop.number

    await asyncio.gather(*(one(number, size) for number, size in enumerate(sizes)))
    loop.end()
    return [number - taken[0] for number in taken]


@pytest.mark.parametrize("size", [PER_TURN, 2 * PER_TURN])
async def test_large_pieces_have_a_turn_each_in_their_order(size: int) -> None:
    taken = await when([size] * 5)
    assert taken == sorted(set(taken))


async def test_small_pieces_share_a_turn() -> None:
    taken = await when([PER_TURN // 4] * 8)
    assert taken[:4] == [0] * 4
    assert len(set(taken[4:])) == 1
    assert taken[4] > 0


async def test_nobody_overtakes() -> None:
    taken = await when([PER_TURN, PER_TURN, 1])
    assert taken[0] < taken[1] < taken[2]


async def test_a_few_do_not_wait() -> None:
    assert await when([PER_TURN] * 5, range(FEW)) == [0] * 5


async def test_who_is_cancelled_holds_nobody_up() -> None:
    turns = Turns(CROWD)
    await turns.take(PER_TURN)
    tasks = [asyncio.ensure_future(turns.take(PER_TURN)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(tasks[0], tasks[2])
    assert tasks[1].cancelled()


async def test_a_message_takes_turns_once_it_is_not_small() -> None:
    asked: list[int] = []

    class Spy(Turns):
        async def take(self, octets: int) -> None:
            asked.append(octets)

    source = Source(lambda: None, Spy(CROWD))
    for octets in (1500, SMALL - 1500, 10, PER_TURN):
        source.put(Piece(b"x" * octets, b"x" * octets, ended=False, rest=b""))
        await source.read()
    assert asked == [10, PER_TURN]
