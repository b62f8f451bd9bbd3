"""Connections to the reinject service are used again, and one that died is replaced unnoticed.

Whatever happens to them, a message is delivered once or, if its client was told so, not at all.
"""

import asyncio

import pytest

from filtermail import reinject as limits
from tests.filtermail.gate.building import HEADERS, SENDER, message
from tests.filtermail.proxy.conftest import RECIPIENT, Connect, submit
from tests.filtermail.proxy.dialogue import Client, wire
from tests.filtermail.proxy.scripted import HANG_UP, SILENCE, Act, Reinject, refuse
from tests.support import eventually

CLEARTEXT = HEADERS + b"\r\nhello\r\n"


async def test_a_connection_serves_many_messages(connect: Connect, reinject: Reinject) -> None:
    for _ in range(3):
        client = await connect()
        assert [(await submit(client)).code for _ in range(3)] == [250] * 3
    assert len(reinject.sessions) == 1
    assert len(reinject.accepted) == 9


async def test_what_postfix_refused_at_the_dot_leaves_the_connection_usable(
    client: Client, reinject: Reinject
) -> None:
    reinject.at("dot", refuse("554 5.7.1 Refused by a milter"))
    assert [(await submit(client)).code for _ in range(2)] == [554, 250]
    assert len(reinject.sessions) == 1


async def test_what_the_gate_refused_ends_the_connection(
    client: Client, reinject: Reinject
) -> None:
    assert (await submit(client)).code == 250
    await client.begin(SENDER, RECIPIENT)
    content = wire(message(epilogue=b"and in clear\r\n"))
    await client.send(content[:-30])
    await eventually(lambda: reinject.octets(1) > 0, "the beginning to be passed on")
    assert (await client.say(content[-30:])).code == 523
    await eventually(lambda: reinject.sessions[0].ended, "the first connection to end")
    assert (await submit(client)).code == 250
    assert len(reinject.sessions) == 2


async def test_what_the_gate_refused_by_its_header_costs_no_connection(
    client: Client, reinject: Reinject
) -> None:
    codes = [(await submit(client, each)).code for each in (message(), CLEARTEXT, message())]
    assert codes == [250, 523, 250]
    assert len(reinject.sessions) == 1
    assert reinject.count(b"MAIL") == 2


GONE: list[tuple[str, Act]] = [
    *((step, HANG_UP) for step in ("MAIL", "RCPT", "DATA")),
    *(
        (step, refuse("421 4.4.2 Timeout exceeded", hang_up=hang_up))
        for step in ("MAIL", "RCPT", "DATA")
        for hang_up in (True, False)
    ),
]


@pytest.mark.parametrize(("step", "act"), GONE)
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "no-pipelining"])
async def test_a_dead_connection_is_replaced(
    step: str, act: Act, pipelining: bool, client: Client, reinject: Reinject
) -> None:
    reinject.pipelining = pipelining
    reinject.at(step, None, act)
    assert (await submit(client)).code == 250
    assert (await submit(client)).code == 250
    assert len(reinject.sessions) == 2
    assert [len(session.messages) for session in reinject.sessions] == [1, 1]
    assert len(reinject.completed) == len(reinject.accepted) == 2


async def test_no_reply_is_waited_for_after_421(client: Client, reinject: Reinject) -> None:
    assert (await submit(client)).code == 250
    reinject.at("RCPT", Act(reply=b"421 4.4.2 Timeout exceeded\r\n", silent=True))
    reply = await client.submit(message(), SENDER, [RECIPIENT, "carol@other.example"])
    assert reply.code == 250
    assert [len(session.messages) for session in reinject.sessions] == [1, 1]


async def test_a_connection_that_ended_while_idle_is_replaced(
    client: Client, reinject: Reinject
) -> None:
    for count in range(1, 4):
        assert (await submit(client)).code == 250
        assert len(reinject.sessions) == count
        reinject.sessions[-1].writer.write(b"421 4.4.2 Timeout exceeded\r\n")
        reinject.sessions[-1].hang_up()
        await eventually(lambda: reinject.sessions[-1].ended, "the connection to end")
    assert len(reinject.completed) == len(reinject.accepted) == 3


async def test_all_idle_connections_dead_at_once(connect: Connect, reinject: Reinject) -> None:
    clients = [await connect() for _ in range(5)]
    for number, client in enumerate(clients):
        await client.begin(SENDER, RECIPIENT)
        await client.send(wire(message())[:-50])
        await eventually(lambda: reinject.octets(number) > 0, "the message to go on")  # noqa: B023
    for client in clients:
        assert (await client.say(wire(message())[-50:])).code == 250
    assert len(reinject.sessions) == 5
    reinject.at("MAIL", *[HANG_UP] * 5)
    assert (await submit(clients[0])).code == 250
    assert len(reinject.sessions) == 6
    assert len(reinject.completed) == 6


@pytest.mark.parametrize("step", ["body", "dot"])
async def test_what_had_octets_is_never_sent_again(
    step: str, client: Client, reinject: Reinject
) -> None:
    """Not even if the other side may have delivered it: the client is told to decide."""
    assert (await submit(client)).code == 250
    reinject.at(step, HANG_UP)
    assert (await submit(client)).code == 451
    assert reinject.count(b"MAIL") == 2
    assert len(reinject.messages) == 2
    assert len(reinject.accepted) == 1


async def test_a_refusal_on_a_used_connection_is_not_tried_again(
    client: Client, reinject: Reinject
) -> None:
    assert (await submit(client)).code == 250
    reinject.at("RCPT", refuse("450 4.2.1 Greylisted"))
    assert (await submit(client)).code == 450
    assert reinject.count(b"MAIL") == 2


async def test_idle_connections_are_left_in_time(
    client: Client, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IDLE_SECONDS", -1.0)
    assert [(await submit(client)).code for _ in range(3)] == [250] * 3
    await eventually(lambda: reinject.count(b"QUIT") == 2, "two connections to be left")
    assert [session.commands[-1] for session in reinject.sessions[:2]] == [b"QUIT\r\n"] * 2
    assert len(reinject.sessions) == 3


async def test_few_connections_are_kept(
    connect: Connect, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_IDLE", 2)
    clients = [await connect() for _ in range(5)]
    for number, client in enumerate(clients):
        await client.begin(SENDER, RECIPIENT)
        await client.send(wire(message())[:-50])
        await eventually(lambda: reinject.octets(number) > 0, "the message to go on")  # noqa: B023
    for client in clients:
        assert (await client.say(wire(message())[-50:])).code == 250
    await eventually(lambda: reinject.ended == 3, "three connections to end")


@pytest.mark.parametrize("step", ["banner", "MAIL", "dot"])
async def test_clients_that_vanish_take_no_connection_with_them(
    step: str, connect: Connect, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 2)
    for _ in range(6):
        reinject.always(step, SILENCE)
        client, before = await connect(), len(reinject.sessions)
        await client.send(b"EHLO x\r\nMAIL FROM:<%s>\r\n" % SENDER.encode())
        await client.send(b"RCPT TO:<%s>\r\nDATA\r\n" % RECIPIENT.encode())
        assert await client.replies(4) == [250, 250, 250, 354]
        await client.send(wire(message()))
        await eventually(lambda: len(reinject.sessions) > before, "a connection")  # noqa: B023
        client.vanish()
        await eventually(lambda: reinject.sessions[-1].ended, "the connection to be dropped")
    reinject.behave()
    assert (await submit(await connect())).code == 250


async def test_150_clients_that_vanish_in_the_middle(connect: Connect, reinject: Reinject) -> None:
    assert limits.MAX_CONNECTIONS < 150

    async def vanish() -> None:
        client = await connect()
        await client.begin(SENDER, RECIPIENT)
        await client.send(wire(message())[:-60])
        client.vanish()

    for _ in range(15):
        await asyncio.gather(*(vanish() for _ in range(10)))
    assert (await submit(await connect())).code == 250
    await eventually(lambda: reinject.ended == 150, "all others to end")
    assert len(reinject.completed) == 1
