"""Questions to the disk, in batches."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from relay.batches import Reader
from tests.support import DEADLINE

MAX_BATCH = 16


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader(2, MAX_BATCH)
    yield reader
    reader.close()


async def test_each_asker_has_its_own_answer(reader: Reader) -> None:
    questions = [lambda number=number: number * 2 for number in range(10 * MAX_BATCH)]
    answers = await asyncio.gather(*(reader.ask(question) for question in questions))
    assert answers == [number * 2 for number in range(10 * MAX_BATCH)]


async def test_what_is_asked_in_one_turn_goes_to_one_thread(reader: Reader) -> None:
    threads = await asyncio.gather(*(reader.ask(threading.get_ident) for _ in range(MAX_BATCH)))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_an_error_is_its_askers_alone(reader: Reader) -> None:
    def broken() -> int:
        raise OSError(5, "broken")

    answers = await asyncio.gather(
        reader.ask(lambda: 1), reader.ask(broken), reader.ask(lambda: 3), return_exceptions=True
    )
    assert answers[0] == 1
    assert isinstance(answers[1], OSError)
    assert answers[2] == 3


async def test_who_leaves_takes_nobody_with_him(reader: Reader) -> None:
    leaving = asyncio.ensure_future(reader.ask(lambda: 1))
    staying = asyncio.ensure_future(reader.ask(lambda: 2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 2
    assert await reader.ask(lambda: 3) == 3


async def test_a_disk_that_hangs_holds_up_only_its_batch(reader: Reader) -> None:
    hanging = threading.Event()
    stuck = asyncio.ensure_future(reader.ask(lambda: hanging.wait(DEADLINE)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(DEADLINE / 2):
            assert await reader.ask(lambda: "quick") == "quick"
        assert not stuck.done()
    finally:
        hanging.set()
    assert await stuck
