"""The reinject service down, slow or mad: the client hears 451, and nothing is delivered."""

import socket

import pytest

from filtermail import reinject as limits
from filtermail.reinject import PATIENCE
from tests.filtermail.gate.building import SENDER, armoured, message, seipd
from tests.filtermail.proxy.conftest import RECIPIENT, Connect, Start, submit
from tests.filtermail.proxy.dialogue import Client, wire
from tests.filtermail.proxy.scripted import GARBAGE, HANG_UP, SILENCE, STEPS, Act, Reinject, refuse
from tests.support import eventually

TIME_LIMITS = ("opening", "stall", "verdict")
USUAL = {name: getattr(PATIENCE, name) for name in TIME_LIMITS}
BIG = message(armour=armoured(seipd(size=8 << 20)))
"""More than the kernel buffers on the way."""


def impatient(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(PATIENCE, name, 0.2)


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in USUAL.items():
        monkeypatch.setattr(PATIENCE, name, seconds)


def test_together_the_limits_are_below_what_clients_wait() -> None:
    assert sum(USUAL.values()) < 60


async def test_nobody_listens(start: Start, connect: Connect) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        client = await connect(await start(postfix_reinject_port=nobody.getsockname()[1]))
        assert (await submit(client)).code == 451
        assert (await submit(client)).code == 451


async def test_it_comes_back(start: Start, connect: Connect, reinject: Reinject) -> None:
    client = await connect()
    assert (await submit(client)).code == 250
    await reinject.stop()
    assert (await submit(client)).code == 451
    again = Reinject()
    await again.start(reinject.port)
    assert (await submit(client)).code == 250
    await again.stop()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "act",
    [HANG_UP, GARBAGE, refuse("421 4.3.2 Shutting down", hang_up=True)],
    ids=["nothing", "garbage", "421"],
)
async def test_it_hangs_up_after(step: str, act: Act, client: Client, reinject: Reinject) -> None:
    reinject.at(step, act)
    assert (await submit(client)).code == 451
    assert reinject.accepted == []
    assert (await submit(client)).code == 250
    assert len(reinject.accepted) == 1


@pytest.mark.parametrize("step", STEPS)
async def test_silence(
    step: str, client: Client, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    reinject.at(step, SILENCE)
    impatient(monkeypatch, *TIME_LIMITS)
    assert (await submit(client)).code == 451
    assert reinject.accepted == []
    patient(monkeypatch)
    assert (await submit(client)).code == 250
    assert len(reinject.accepted) == 1


NONSENSE = [
    b"\r\n",
    b"ok\r\n",
    b"250ok\r\n",
    b"25\r\n",
    b"999 what\r\n",
    b"\xc2\xb2\xc2\xb2\xc2\xb2 superscript\r\n",
    b"2" * 200_000 + b"\r\n",
    b"250-more\r\n" * 200 + b"250 done\r\n",
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda octets: repr(octets[:12]))
@pytest.mark.parametrize("step", ["banner", "MAIL", "dot"])
async def test_nonsense(step: str, nonsense: bytes, client: Client, reinject: Reinject) -> None:
    reinject.at(step, Act(reply=nonsense))
    assert (await submit(client)).code == 451
    assert (await submit(client)).code == 250


async def test_it_hangs_up_in_the_middle_of_a_message(client: Client, reinject: Reinject) -> None:
    """And the rest of the message is not taken for commands."""
    reinject.at("body", HANG_UP)
    await client.begin(SENDER, RECIPIENT)
    content = wire(message())
    await client.send(content[:-100])
    await eventually(lambda: reinject.ended == 1, "the connection to end")
    await client.send(content[-100:] + b"NOOP\r\nQUIT\r\n")
    assert await client.replies(3) == [451, 250, 221]
    assert len(reinject.messages) == 1
    assert reinject.completed == []


@pytest.mark.parametrize("early", ["250 2.0.0 Ok: queued as 4F2x", "550 5.7.1 No", "354 Go on"])
async def test_it_replies_before_the_message_has_ended(
    early: str, client: Client, reinject: Reinject
) -> None:
    """Such a reply is about nothing that was sent: it accepts no message, and refuses none."""
    reinject.at("body", refuse(early))
    await client.begin(SENDER, RECIPIENT)
    content = wire(message())
    await client.send(content[:-100])
    await eventually(lambda: reinject.octets(0) > 0, "the early reply")
    assert (await client.say(content[-100:])).code == 451
    await eventually(lambda: reinject.ended == 1, "the connection to end")
    assert reinject.completed == []
    assert (await submit(client)).code == 250
    assert len(reinject.sessions) == 2


async def test_it_takes_in_no_more_of_a_message(
    client: Client, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    reinject.at("body", SILENCE)
    impatient(monkeypatch, "stall")
    assert (await submit(client, BIG)).code == 451
    patient(monkeypatch)
    assert (await submit(client)).code == 250
    assert len(reinject.completed) == 1


async def test_while_one_waits_others_are_served(
    connect: Connect, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    reinject.at("dot", SILENCE)
    waiting, other = await connect(), await connect()
    await waiting.begin(SENDER, RECIPIENT)
    await waiting.send(wire(message()))
    await eventually(lambda: bool(reinject.completed), "the first message to wait for its reply")
    assert (await submit(other)).code == 250


async def test_more_messages_than_connections(
    connect: Connect, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gets no connection in time hears so, too."""
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 1)
    first, second = await connect(), await connect()
    await first.begin(SENDER, RECIPIENT)
    await first.send(wire(message())[:-50])
    await eventually(lambda: bool(reinject.messages), "the transaction to be open")
    impatient(monkeypatch, "opening")
    assert (await submit(second)).code == 451
    patient(monkeypatch)
    assert (await first.say(wire(message())[-50:])).code == 250
    assert (await submit(second)).code == 250
    assert len(reinject.sessions) == 1
