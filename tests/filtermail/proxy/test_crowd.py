"""More clients than there is room for, and thousands that just sit there."""

import asyncio
import resource
from collections.abc import Iterator

import pytest

from tests.filtermail.gate.building import SENDER, message
from tests.filtermail.proxy.conftest import RECIPIENT, Connect, Spawn
from tests.filtermail.proxy.dialogue import Client
from tests.filtermail.proxy.scripted import Reinject
from tests.support import eventually

_, MOST = resource.getrlimit(resource.RLIMIT_NOFILE)
CROWD = min(2000, (MOST - 200) // 100 * 100)


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """This process has as many connections as the one that it tests."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, MOST))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_thousands_who_say_nothing_are_in_nobodys_way(
    spawn: Spawn, connect: Connect, reinject: Reinject
) -> None:
    instance = await spawn()
    idle = []
    for _ in range(CROWD // 100):
        idle += await asyncio.gather(*(connect(instance) for _ in range(100)))
    assert len(idle) == CROWD
    client = await connect(instance)
    assert (await client.submit(message(), SENDER, [RECIPIENT])).code == 250
    assert len(reinject.completed) == 1
    assert "Traceback" not in instance.log


async def test_out_of_descriptors_it_turns_some_away_and_goes_on(
    spawn: Spawn, connect: Connect, reinject: Reinject
) -> None:
    instance = await spawn()
    inside = await connect(instance)
    instance.limit_descriptors(20)
    crowd = [await asyncio.open_connection("127.0.0.1", instance.port) for _ in range(60)]
    # Those for whom there is room are greeted, the others hung up on: a temporary failure.
    greetings = await asyncio.gather(*(_greeting(reader) for reader, _ in crowd))
    assert greetings.count("220") >= 10
    assert greetings.count("") >= 30
    for _, writer in crowd:
        writer.close()

    async def sent(client: Client) -> int:
        return (await client.submit(message(), SENDER, [RECIPIENT])).code

    # Who was inside is served throughout, and the next one is let in.
    codes: list[int] = []
    while 250 not in codes:
        codes.append(await sent(inside))
        assert set(codes) <= {250, 451}
    newcomer = await connect(instance)
    assert await sent(newcomer) == 250
    await eventually(lambda: len(reinject.completed) == 2, "both messages")
    assert "Traceback" not in instance.log
    instance.terminate()
    assert await instance.ended() == 0


async def _greeting(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readline())[:3].decode()
    except ConnectionError:
        return ""
