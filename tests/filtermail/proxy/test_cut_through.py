"""A message goes on while it comes in: early, and in little memory whatever its size."""

import asyncio

from tests.filtermail.gate.building import HEADERS, SENDER, armoured, message, seipd
from tests.filtermail.proxy.conftest import RECIPIENT, Connect, Spawn, submit
from tests.filtermail.proxy.dialogue import Client, wire
from tests.filtermail.proxy.scripted import HANG_UP, Act, Reinject
from tests.support import eventually

HUGE = message(armour=armoured(seipd(size=22_000_000)))
MEGABYTE = 1 << 20


async def test_the_beginning_arrives_before_the_end_is_sent(
    client: Client, reinject: Reinject
) -> None:
    content = wire(message(armour=armoured(seipd(size=100_000))))
    await client.begin(SENDER, RECIPIENT)
    for sent in range(20_000, len(content), 20_000):
        await client.send(content[sent - 20_000 : sent])
        # All but what may be the beginning of the final dot, and Subject is as long as it was.
        await eventually(
            lambda sent=sent: reinject.octets(0) >= sent - 4,  # type: ignore[misc]
            "what was sent to arrive",
        )
    assert reinject.completed == []
    assert (await client.say(content[sent:])).code == 250
    assert reinject.accepted[0].wire == content[:-3]


async def test_headers_are_held_until_they_are_whole(client: Client, reinject: Reinject) -> None:
    await client.begin(SENDER, RECIPIENT)
    await client.send(HEADERS)
    content = message().removeprefix(HEADERS)
    await client.send(content[:-30])
    await eventually(lambda: reinject.octets(0) > 0, "the headers")
    assert reinject.messages[0].wire.startswith(HEADERS)
    assert (await client.say(wire(content[-30:]))).code == 250


async def test_thirty_megabytes_in_little_memory(
    spawn: Spawn, connect: Connect, reinject: Reinject
) -> None:
    assert len(HUGE) > 30_000_000
    process = await spawn()
    client = await connect(process)
    assert (await submit(client)).code == 250
    idle = process.peak
    assert (await submit(client, HUGE)).code == 250
    assert process.peak - idle < 16 * MEGABYTE
    assert reinject.accepted[1].content == HUGE


async def settled(client: Client) -> int:
    """Wait until no more of what a client sends is taken from it; the octets that are left."""
    transport = client.writer.transport
    sizes = [-1, transport.get_write_buffer_size()]
    while sizes[-1] and sizes[-1] != sizes[0]:
        await asyncio.sleep(0.02)
        sizes = [*sizes, transport.get_write_buffer_size()][-10:]
    return sizes[-1]


async def test_a_slow_reinject_side_slows_the_client(
    spawn: Spawn, connect: Connect, reinject: Reinject
) -> None:
    """What it does not take in is left with the client, not hoarded."""
    process = await spawn()
    client = await connect(process)
    assert (await submit(client)).code == 250
    idle = process.peak
    taking_in = asyncio.Event()
    reinject.at("body", Act(until=taking_in))
    await client.begin(SENDER, RECIPIENT)
    client.writer.write(wire(HUGE))
    left = await settled(client)
    assert left > 0, "it waits for what the kernel on the way does not hold"
    taking_in.set()
    assert (await client.reply()).code == 250
    assert process.peak - idle < 16 * MEGABYTE
    assert reinject.accepted[1].content == HUGE


async def test_a_huge_message_that_is_refused_is_not_hoarded_either(
    spawn: Spawn, connect: Connect, reinject: Reinject
) -> None:
    process = await spawn()
    client = await connect(process)
    assert (await submit(client)).code == 250
    idle = process.peak
    reinject.at("body", HANG_UP)
    assert (await submit(client, HUGE)).code == 451
    assert (await submit(client, message(preamble=b"x\r\n" * 9 * MEGABYTE))).code == 523
    assert process.peak - idle < 16 * MEGABYTE
    assert len(reinject.completed) == 1
