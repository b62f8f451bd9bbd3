"""However the client's octets are cut into packets, they mean the same."""

import asyncio
import socket

import pytest

from filtermail.gate.grammar import Direction
from tests.filtermail.gate.building import SENDER, bounce, message
from tests.filtermail.proxy.conftest import DOMAIN, RECIPIENT, Connect, MakeMailbox, Start, submit
from tests.filtermail.proxy.dialogue import DATA, EHLO, Client, envelope, wire
from tests.filtermail.proxy.scripted import Reinject

BOUNCE = bounce()


def unbuffered(client: Client) -> None:
    """Send each write as a packet of its own."""
    client.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def in_packets(client: Client, packets: list[bytes]) -> None:
    """Send packet by packet, and let the proxy, in the same loop, see each by itself."""
    unbuffered(client)
    for packet in packets:
        await client.send(packet)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_an_envelope_in_one_packet(client: Client, reinject: Reinject) -> None:
    await client.send(EHLO + envelope(SENDER, RECIPIENT, "carol@other.example") + DATA)
    assert await client.replies(5) == [250, 250, 250, 250, 354]
    assert (await client.say(wire(message()))).code == 250
    (arrived,) = reinject.accepted
    assert len(arrived.recipients) == 2


async def test_the_reinject_side_gets_the_envelope_in_one_go(
    client: Client, reinject: Reinject
) -> None:
    assert (await submit(client)).code == 250
    assert reinject.commands == [
        f"EHLO {DOMAIN}\r\n".encode(),
        f"MAIL FROM:<{SENDER}>\r\n".encode(),
        f"RCPT TO:<{RECIPIENT}>\r\n".encode(),
        b"DATA\r\n",
    ]


async def test_a_reinject_side_without_pipelining(client: Client, reinject: Reinject) -> None:
    reinject.pipelining = False
    assert (await submit(client)).code == 250
    assert (await submit(client)).code == 250
    assert [arrived.content for arrived in reinject.accepted] == [message()] * 2


async def test_commands_behind_the_final_dot(client: Client, reinject: Reinject) -> None:
    await client.begin(SENDER, RECIPIENT)
    again = envelope(SENDER, "carol@other.example") + DATA
    await client.send(wire(message()) + b"NOOP\r\n" + again)
    assert await client.replies(5) == [250, 250, 250, 250, 354]
    await client.send(wire(message()) + b"QUIT\r\n")
    assert await client.replies(2) == [250, 221]
    assert [arrived.recipients for arrived in reinject.accepted] == [
        [b"RCPT TO:<%s>\r\n" % RECIPIENT.encode()],
        [b"RCPT TO:<carol@other.example>\r\n"],
    ]


async def test_commands_behind_the_final_dot_of_a_refused_message(
    client: Client, reinject: Reinject
) -> None:
    await client.begin(SENDER, RECIPIENT)
    await client.send(wire(b"From: <alice@relay.example>\r\n\r\nhi\r\n") + b"NOOP\r\nQUIT\r\n")
    assert await client.replies(3) == [523, 250, 221]
    assert reinject.completed == []


async def test_packets_of_one_octet(client: Client, reinject: Reinject) -> None:
    dialogue = EHLO + envelope(SENDER, RECIPIENT) + DATA
    await in_packets(client, [bytes([octet]) for octet in dialogue])
    assert await client.replies(4) == [250, 250, 250, 354]
    await in_packets(client, [bytes([octet]) for octet in wire(message()) + b"QUIT\r\n"])
    assert await client.replies(2) == [250, 221]
    (arrived,) = reinject.accepted
    assert arrived.content == message()


@pytest.mark.parametrize("cut", range(1, 12))
async def test_the_end_cut_at_each_place(cut: int, client: Client, reinject: Reinject) -> None:
    await client.begin(SENDER, RECIPIENT)
    sent = wire(message()) + b"NOOP\r\n"
    await in_packets(client, [sent[:-cut], sent[-cut:]])
    assert await client.replies(2) == [250, 250]
    (arrived,) = reinject.accepted
    assert arrived.content == message()


DOTTED = bounce(b".\r\n..\r\n.a\r\n...\r\nb.\r\n \r\n.\r\n")


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
async def test_dots_are_stuffed_on_both_sides(
    step: int, start: Start, connect: Connect, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(f"alice@{DOMAIN}")
    client = await connect(await start(Direction.INCOMING))
    await client.begin("", f"alice@{DOMAIN}")
    sent = wire(DOTTED)
    assert b"\r\n.\r\n" not in sent[:-5]
    await in_packets(client, [sent[at : at + step] for at in range(0, len(sent), step)])
    assert (await client.reply()).code == 250
    (arrived,) = reinject.accepted
    assert bytes(arrived.wire) == sent[:-3]
    assert arrived.content == DOTTED


async def test_a_message_of_a_dot_alone(
    start: Start, connect: Connect, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(f"alice@{DOMAIN}")
    client = await connect(await start(Direction.INCOMING))
    await client.begin("", f"alice@{DOMAIN}")
    assert (await client.say(b".\r\nNOOP\r\n")).code == 554
    assert (await client.reply()).code == 250
    assert reinject.completed == []


async def test_half_an_end_is_none(
    start: Start, connect: Connect, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    """What other servers might take for an end (SMTP smuggling) neither ends nor passes."""
    mailbox(f"alice@{DOMAIN}")
    client = await connect(await start(Direction.INCOMING))
    for end in (b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r"):
        await client.begin("", f"alice@{DOMAIN}")
        smuggled = b"text" + end + envelope("mallory@other.example", RECIPIENT) + b"DATA\r\n"
        assert (await client.say(BOUNCE + smuggled + b".\r\n")).code == 554
    assert reinject.completed == []
    assert not any(b"mallory" in command for command in reinject.commands)
    assert not any(b"mallory" in arrived.wire for arrived in reinject.messages)
