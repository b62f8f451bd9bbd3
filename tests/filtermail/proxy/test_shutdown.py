"""The end of the service: messages under way are finished, who waits is told."""

import asyncio
import socket
from pathlib import Path

import pytest

from filtermail import daemon as service
from relay.smtp import server
from tests.filtermail.gate.building import HEADERS, SENDER, message
from tests.filtermail.proxy.conftest import (
    DOMAIN,
    RECIPIENT,
    Connect,
    MakeMailbox,
    Spawn,
    Start,
    submit,
)
from tests.filtermail.proxy.dialogue import DATA, EHLO, Client, envelope, wire
from tests.filtermail.proxy.scripted import Act, Reinject
from tests.filtermail.proxy.spawning import Spawned, configure
from tests.support import DEADLINE, daemon, eventually

TOLD = b"421 4.3.2 Service is restarting, try again\r\n"


async def in_the_middle(client: Client, sender: str = SENDER, recipient: str = RECIPIENT) -> bytes:
    """Have a client send half a message; the other half."""
    await client.begin(sender, recipient)
    content = wire(message().replace(SENDER.encode(), sender.encode()))
    await client.send(content[:-500])
    return content[-500:]


async def test_a_message_under_way_is_finished(
    start: Start, connect: Connect, reinject: Reinject
) -> None:
    instance = await start()
    idle, greeted, busy, enveloped = [await connect(instance) for _ in range(4)]
    assert (await greeted.say(EHLO)).code == 250
    rest = await in_the_middle(busy)
    await enveloped.send(EHLO + envelope(SENDER, RECIPIENT))
    assert await enveloped.replies(3) == [250, 250, 250]
    instance.shutdown.set()
    assert await idle.ended() == TOLD
    assert await greeted.ended() == TOLD
    assert not instance.task.done()
    assert (await busy.say(rest)).code == 250
    assert await busy.ended() == TOLD
    assert (await enveloped.say(DATA)).code == 354
    assert (await enveloped.say(wire(HEADERS + b"\r\nhi\r\n"))).code == 523
    assert await enveloped.ended() == TOLD
    await instance.stop()
    assert len(reinject.completed) == len(reinject.accepted) == 1


async def test_nobody_is_let_in_any_more(start: Start, connect: Connect) -> None:
    instance = await start()
    rest = await in_the_middle(busy := await connect(instance))
    waiting = await connect(instance)
    instance.shutdown.set()
    assert await waiting.ended() == TOLD
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", instance.port)
    assert (await busy.say(rest)).code == 250


async def test_a_client_that_has_just_connected_may_send_its_message(
    start: Start, connect: Connect, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Postfix does for a message that is whole: refused now, a server tries in minutes again."""
    monkeypatch.setattr(server, "GRACE_SECONDS", DEADLINE)
    instance = await start()
    connected, greeted = await connect(instance), await connect(instance)
    assert (await greeted.say(EHLO)).code == 250
    instance.shutdown.set()
    await eventually(lambda: not_listening(instance.port), "the service to begin to end")
    for client in (connected, greeted):
        assert (await submit(client)).code == 250
        await client.close()
    await instance.stop()
    assert len(reinject.accepted) == 2


def not_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return True
    return False


async def test_a_message_that_never_ends_does_not_hold_it_up_for_ever(
    start: Start, connect: Connect, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DRAIN_SECONDS", 0.2)
    instance = await start()
    await in_the_middle(await connect(instance))
    await instance.stop()
    assert reinject.completed == []


async def test_idle_reinject_connections_are_left(
    start: Start, connect: Connect, reinject: Reinject
) -> None:
    instance = await start()
    assert (await submit(await connect(instance))).code == 250
    await instance.stop()
    await eventually(lambda: reinject.ended == 1, "the connection to end")
    assert reinject.commands[-1] == b"QUIT\r\n"


def check_log(process: Spawned) -> None:
    assert "@" not in process.log
    assert "Traceback" not in process.log
    assert "ERROR" not in process.log
    assert process.log.endswith("has ended\n")


@pytest.mark.parametrize("direction", ["outgoing", "incoming"])
async def test_sigterm(
    direction: str, spawn: Spawn, connect: Connect, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    alice, bob = f"alice@{DOMAIN}", "bob@other.example"
    sender, recipient = (alice, bob) if direction == "outgoing" else (bob, alice)
    mailbox(alice)
    process = await spawn(direction)
    answering = asyncio.Event()
    reinject.at("dot", Act(until=answering))
    idle, waiting, busy = [await connect(process) for _ in range(3)]
    await waiting.begin(sender, recipient)
    await waiting.send(wire(message().replace(SENDER.encode(), sender.encode())))
    rest = await in_the_middle(busy, sender, recipient)
    process.terminate()
    assert await idle.ended() == TOLD
    assert (await busy.say(rest)).code == 250
    answering.set()
    assert (await waiting.reply()).code == 250
    assert await waiting.ended() == TOLD
    assert await process.ended() == 0
    check_log(process)
    assert len(reinject.accepted) == 2


async def test_sigterm_without_anybody(spawn: Spawn) -> None:
    process = await spawn()
    process.terminate()
    assert await process.ended() == 0
    check_log(process)


async def test_bad_input_to_the_process(spawn: Spawn, connect: Connect) -> None:
    """uvloop's transports are others than those that the tests in this process have."""
    process = await spawn()
    for place in (b"", EHLO + envelope(SENDER, RECIPIENT), b"x" * (10 << 20), b"\0\xff\r\n" * 9):
        client = await connect(process)
        await client.send(place)
        client.vanish()
        client = await connect(process)
        await client.send(place)
        client.writer.write_eof()
        await client.ended()
    for _ in range(3):
        await in_the_middle(client := await connect(process))
        client.vanish()
    client = await connect(process)
    assert (await submit(client, HEADERS + b"\r\nhi\r\n")).code == 523
    assert (await submit(client)).code == 250
    assert (await client.say(b"QUIT\r\n")).code == 221
    process.terminate()
    assert await process.ended() == 0
    check_log(process)


async def test_it_opens_the_configured_port_itself(
    connect: Connect, reinject: Reinject, tmp_path: Path
) -> None:
    for _ in range(20):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = configure(tmp_path, reinject.port, port)
        with daemon(["-m", "filtermail", "outgoing", "--config", str(config)]) as started:
            await eventually(lambda: started.log.count("\n") > 0, "a line in the log")
            if "cannot listen" in started.log:
                # Somebody else was faster; with a port that is given, nothing rules that out.
                assert await asyncio.to_thread(started.wait) == 1
                continue
            assert f"filtermail outgoing is up on smtp 127.0.0.1:{port}" in started.log
            client = await connect(Spawned(started, port))
            assert (await submit(client)).code == 250
            return
    pytest.fail("no port was free")
