"""The size limit: of octets, dots undone; refused only when the message is read to its end."""

import pytest

from filtermail.gate.grammar import Direction
from tests.filtermail.gate.building import HEADERS, SENDER, bounce, message
from tests.filtermail.proxy.conftest import DOMAIN, RECIPIENT, Connect, MakeMailbox, Start, submit
from tests.filtermail.proxy.dialogue import EHLO, Client, envelope, wire
from tests.filtermail.proxy.scripted import Reinject

SIZE = len(message())
LIMIT = 31457280


@pytest.mark.parametrize(("limit", "code"), [(SIZE, 250), (SIZE - 1, 552)])
async def test_limit(
    limit: int, code: int, start: Start, connect: Connect, reinject: Reinject
) -> None:
    client = await connect(await start(max_message_size=limit))
    assert (await submit(client)).code == code
    assert len(reinject.completed) == (code == 250)


@pytest.mark.parametrize("excess", [0, 1])
async def test_stuffed_dots_do_not_count(
    excess: int, start: Start, connect: Connect, reinject: Reinject
) -> None:
    content = message(headers=b".a: b\r\n" * 100 + HEADERS)
    assert len(wire(content)) == len(content) + 100 + 3
    client = await connect(await start(max_message_size=len(content) - excess))
    assert (await submit(client, content)).code == (552 if excess else 250)


async def test_stuffed_dots_do_not_count_in_a_body(
    start: Start, connect: Connect, mailbox: MakeMailbox
) -> None:
    mailbox(f"alice@{DOMAIN}")
    content = bounce(b".\r\n" * 1000)
    client = await connect(await start(Direction.INCOMING, max_message_size=len(content)))
    reply = await client.submit(content, "", [f"alice@{DOMAIN}"])
    assert reply.code == 250
    reply = await client.submit(bounce(b".\r\n" * 1001), "", [f"alice@{DOMAIN}"])
    assert reply.code == 552


async def test_commands_in_a_message_that_is_too_big_are_not_executed(
    start: Start, connect: Connect, reinject: Reinject
) -> None:
    client = await connect(await start(max_message_size=SIZE))
    await client.begin(SENDER, RECIPIENT)
    injected = b"NOOP\r\n" + envelope(SENDER, "mallory@other.example") + b"DATA\r\nQUIT\r\n"
    await client.send(wire(message(epilogue=injected * 5000)) + b"NOOP\r\nQUIT\r\n")
    assert await client.replies(3) == [552, 250, 221]
    assert reinject.count(b"MAIL") == 0
    assert reinject.completed == []


async def test_a_header_block_that_is_too_big(client: Client, reinject: Reinject) -> None:
    padding = b"Chat-Padding: " + b"x" * 900 + b"\r\n"
    assert (await submit(client, message(headers=padding * 150 + HEADERS))).code == 554
    assert (await submit(client, message(headers=padding * 100 + HEADERS))).code == 250


@pytest.mark.parametrize(
    ("announced", "code"),
    [(f"SIZE={LIMIT}", 250), (f"SIZE={LIMIT + 1}", 552), ("size=99999999999999999999", 552)],
)
async def test_announced_size(announced: str, code: int, client: Client) -> None:
    await client.send(EHLO + f"MAIL FROM:<{SENDER}> {announced}\r\n".encode())
    greeting, reply = await client.reply(), await client.reply()
    assert f"SIZE {LIMIT}" in greeting.text.split("\n")
    assert reply.code == code
    # A refused MAIL has begun nothing.
    again = await client.say(f"MAIL FROM:<{SENDER}>\r\n".encode())
    assert again.code == (503 if code == 250 else 250)
