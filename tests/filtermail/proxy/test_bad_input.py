"""Clients that speak badly, break off or say nothing: an answer or a closed connection for them.

Everybody else is served meanwhile. That no traceback and no address is logged holds for every
test here by `discreet_log`; tasks that died are collected for it first.
"""

import asyncio
import gc
import random
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from filtermail.gate.grammar import Direction
from filtermail.gate.message import Message
from relay.smtp import commands, server
from tests.filtermail.gate.building import SENDER, message
from tests.filtermail.proxy.conftest import (
    DOMAIN,
    RECIPIENT,
    Connect,
    MakeMailbox,
    Running,
    Start,
    submit,
)
from tests.filtermail.proxy.dialogue import DATA, EHLO, Client, envelope, wire
from tests.filtermail.proxy.scripted import Reinject
from tests.support import eventually


@pytest.fixture(autouse=True)
def collected(start: Start) -> Iterator[None]:
    """asyncio reports a task's exception that nobody asked for when the task is collected."""
    yield
    gc.collect()


SENTENCES = [
    (b"HELP me\r\n", 501),
    (b"XCLIENT NAME=x ADDR=192.0.2.1\r\n", 500),
    (b"\r\n", 500),
    (b"\n", 500),
    (b"\0\0\0\r\n", 500),
    (b"NO\0OP\r\n", 500),
    (b"\xff\xfe\xfd\r\n", 500),
    (b"\r\r\r\n", 500),
    (b"STARTTLS\r\n", 454),
    (b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", 538),
    (b"VRFY alice@relay.example\r\n", 252),
    (b"VRFY \xff\xfe <\r\n", 252),
    (b"VRFY a@\r\n", 252),
    (b"VRFY (\xff\r\n", 252),
    (b"VRFY\r\n", 501),
    (b"EXPN list\r\n", 502),
    (b"EHLO\r\n", 501),
    (b"HELO\r\n", 501),
    (b"EHLO \xff\xff\r\n", 250),
    (b"HELO x\r\n", 250),
    (b"MAIL\r\n", 501),
    (b"MAIL FROM\r\n", 501),
    (b"MAIL FROM:\r\n", 501),
    (b"MAIL FROM:alice@relay.example\r\n", 501),
    (b"MAIL TO:<alice@relay.example>\r\n", 501),
    (b"MAIL FROM:<alice@relay.example\r\n", 501),
    (b"MAIL FROM:<alice>\r\n", 501),
    (b"MAIL FROM:<alice@relay.example>BODY=8BITMIME\r\n", 501),
    (b"MAIL FROM:<a@b@relay.example>\r\n", 501),
    (b"MAIL FROM:<alice@relay.example> SIZE=" + b"9" * 4000 + b"\r\n", 552),
    (b"MAIL FROM:<alice@relay.example> SIZE=-1 SIZE=x SIZE= \xc2\xb2\r\n", 250),
    (b"MAIL FROM:<\xff\xfe@relay.example>\r\n", 501),
    (b"MAIL FROM:<alice@\xed\xa0\x80>\r\n", 501),
    (b"MAIL FROM:<a\0b@relay.example>\r\n", 501),
    (b'MAIL FROM:<"a\rRCPT"@relay.example>\r\n', 501),
    (b"MAIL FROM:<" + b"a" * 65 + b"@relay.example>\r\n", 501),
    (b"MAIL FROM:<" + b'"' * 3000 + b"\r\n", 501),
    (b"RCPT TO:<bob@other.example>\r\n", 503),
    (b"DATA\r\n", 503),
    (b"DATA now\r\n", 501),
    (b"QUIT please\r\n", 501),
    (b"NOOP " + b"x" * 5000 + b"\r\n", 500),
    (b"x" * 100_000 + b"\r\n", 500),
]


@pytest.mark.parametrize(("sentence", "code"), SENTENCES, ids=lambda each: repr(each)[:40])
async def test_sentence(sentence: bytes, code: int, client: Client) -> None:
    assert (await client.say(EHLO)).code == 250
    assert (await client.say(sentence)).code == code
    assert (await submit(client)).code == 250


AFTER_MAIL = [
    (b"RCPT\r\n", 501),
    (b"RCPT TO:<>\r\n", 501),
    (b"RCPT TO:<bob>\r\n", 501),
    (b"RCPT TO:<\xff@other.example>\r\n", 501),
    (b"RCPT FROM:<bob@other.example>\r\n", 501),
    (b"RCPT TO:<@a.example,@b.example:bob@other.example>\r\n", 501),
    (b"MAIL FROM:<alice@relay.example>\r\n", 503),
    (b"DATA\r\n", 503),
    (b"RSET\r\n", 250),
    (b"EHLO again\r\n", 250),
]


@pytest.mark.parametrize(("sentence", "code"), AFTER_MAIL, ids=lambda each: repr(each)[:40])
async def test_sentence_in_a_transaction(
    sentence: bytes, code: int, client: Client, reinject: Reinject
) -> None:
    await client.send(EHLO + envelope(SENDER))
    assert await client.replies(2) == [250, 250]
    assert (await client.say(sentence)).code == code
    assert reinject.sessions == []
    assert (await submit(client)).code == 250


async def test_no_ehlo(client: Client) -> None:
    await client.send(envelope(SENDER, RECIPIENT) + DATA)
    assert await client.replies(3) == [503, 503, 503]


async def test_recipients_without_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_RECIPIENTS", 3)
    await client.send(EHLO + envelope(SENDER, *[RECIPIENT] * 4) + b"NOOP\r\n")
    assert await client.replies(7) == [250, 250, 250, 250, 250, 452, 250]


async def test_nonsense_without_end(client: Client) -> None:
    for _ in range(4):
        assert (await client.say(b"nonsense\r\n")).code == 500
    assert (await client.say(b"nonsense\r\n")).code == 502
    assert await client.ended() == b""


async def test_a_line_of_10_megabytes(connect: Connect) -> None:
    client, other = await connect(), await connect()
    for _ in range(10):
        await client.send(b"x" * (1 << 20))
    assert (await submit(other)).code == 250
    assert (await client.say(b"\r\n")).code == 500
    assert (await submit(client)).code == 250


@pytest.mark.parametrize("line", [b"x" * (10 << 20), b"=" * (10 << 20), b"\r" * (1 << 20)])
async def test_a_line_of_10_megabytes_in_a_message(
    line: bytes, client: Client, reinject: Reinject
) -> None:
    assert (await submit(client, message(preamble=line + b"\r\n"))).code == 523
    assert (await submit(client, message(headers=b"Chat-X: " + line + b"\r\n"))).code == 554
    assert reinject.completed == []
    assert (await submit(client)).code == 250


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(
    ("old", "new"), [(b"\r\n", b"\n"), (b"\r\n", b"\r"), (b"\r\n\r\n--limes--", b"\n\n--limes--")]
)
async def test_a_message_with_bare_line_ends(
    old: bytes,
    new: bytes,
    direction: Direction,
    start: Start,
    connect: Connect,
    mailbox: MakeMailbox,
    reinject: Reinject,
) -> None:
    mailbox(f"a@{DOMAIN}", enforce=False)
    client = await connect(await start(direction))
    sender = SENDER if direction is Direction.OUTGOING else "bob@other.example"
    content = message().replace(SENDER.encode(), sender.encode()).replace(old, new) + b"\r\n"
    reply = await client.submit(content, sender, [f"a@{DOMAIN}"])
    assert reply.code in (523, 554)
    assert reinject.completed == []


async def test_commands_with_bare_line_feeds(client: Client, reinject: Reinject) -> None:
    """Tolerated where nobody can be fooled; see test_pipelining for where somebody could."""
    await client.send((EHLO + envelope(SENDER, RECIPIENT) + DATA).replace(b"\r\n", b"\n"))
    assert await client.replies(4) == [250, 250, 250, 354]
    assert (await client.say(wire(message()))).code == 250


@pytest.mark.parametrize("nul", [b"\0", b"\0" * 70_000])
async def test_nul_octets_in_a_message(nul: bytes, client: Client, reinject: Reinject) -> None:
    content = message()
    for at in (10, content.index(b"Version: 1"), len(content) // 2, len(content)):
        reply = await submit(client, content[:at] + nul + content[at:] + b"\r\n")
        assert reply.code in (523, 553, 554)
    assert reinject.completed == []


@pytest.mark.parametrize("seed", range(10))
async def test_binary_garbage(seed: int, connect: Connect, reinject: Reinject) -> None:
    client, other = await connect(), await connect()
    await client.send(random.Random(seed).randbytes(200_000) + b"\r\nQUIT\r\n")
    await client.ended()
    assert (await submit(other)).code == 250


@pytest.mark.parametrize("seed", range(5))
async def test_binary_garbage_as_a_message(seed: int, client: Client, reinject: Reinject) -> None:
    garbage = random.Random(seed).randbytes(200_000) + b"\r\n"
    assert (await submit(client, garbage)).code in (523, 553, 554)
    assert (await submit(client, message(preamble=garbage))).code == 523
    assert (await submit(client)).code == 250
    assert len(reinject.completed) == 1


def break_off(client: Client) -> None:
    """Have the kernel send an RST."""
    linger = struct.pack("ii", 1, 0)
    sock: socket.socket = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.vanish()


PLACES = {
    "greeted": b"",
    "in-a-command": b"EHLO [127.",
    "in-an-envelope": EHLO + envelope(SENDER, RECIPIENT),
    "before-the-message": EHLO + envelope(SENDER, RECIPIENT) + DATA,
    "in-the-headers": EHLO + envelope(SENDER, RECIPIENT) + DATA + message()[:50],
    "in-the-body": EHLO + envelope(SENDER, RECIPIENT) + DATA + message()[:-20],
    "before-the-dot": EHLO + envelope(SENDER, RECIPIENT) + DATA + message(),
    "in-the-end": EHLO + envelope(SENDER, RECIPIENT) + DATA + message() + b".\r",
    "refused": EHLO + envelope(SENDER, RECIPIENT) + DATA + b"x\r\n\r\nx\r\n",
}


@pytest.mark.parametrize("how", ["reset", "half-closed"])
@pytest.mark.parametrize("place", PLACES)
async def test_client_breaks_off(
    place: str, how: str, connect: Connect, reinject: Reinject
) -> None:
    client = await connect()
    await client.send(PLACES[place])
    if DATA in PLACES[place]:
        assert await client.replies(4) == [250, 250, 250, 354]
    if how == "reset":
        break_off(client)
    else:
        client.writer.write_eof()
        await client.ended()
    await eventually(lambda: reinject.ended == len(reinject.sessions), "nothing to be left over")
    assert reinject.completed == []
    assert (await submit(await connect())).code == 250


@pytest.mark.parametrize("place", PLACES)
async def test_client_says_no_more(
    place: str, connect: Connect, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.1)
    client = await connect()
    await client.send(PLACES[place])
    assert b"421 4.4.2 " in await client.ended()
    assert reinject.completed == []
    monkeypatch.undo()
    assert (await submit(await connect())).code == 250


@pytest.mark.slow
async def test_a_slow_message_is_no_silence(
    connect: Connect, reinject: Reinject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 1.5)
    client = await connect()
    await client.begin(SENDER, RECIPIENT)
    content, at = wire(message()), 0
    enough = time.monotonic() + 1.8
    while time.monotonic() < enough:
        await client.send(content[at : at + 1])
        at += 1
        await asyncio.sleep(0.02)
    assert (await client.say(content[at:])).code == 250


async def test_client_that_reads_no_replies(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is given up, though replies for it are still waiting to be sent."""
    instance = await start()
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.1)
    client = await connect(instance)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def chatter() -> None:
        while True:
            client.writer.write(b"EHLO x\r\n" * 1000)
            await client.writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(chatter(), 20)
    await instance.stop()


async def test_others_are_served_meanwhile(
    start: Start, connect: Connect, reinject: Reinject
) -> None:
    instance: Running = await start()
    stuck = [await connect(instance) for _ in range(20)]
    for at, client in enumerate(stuck):
        await client.send(list(PLACES.values())[at % len(PLACES)])
    assert (await submit(await connect(instance))).code == 250
    assert len(reinject.completed) == 1


async def test_the_unexpected_is_temporary(
    connect: Connect,
    reinject: Reinject,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A defect of ours: its text may repeat the message, so that the log has its place alone."""

    def feed(message: Message, data: bytes) -> bytes:
        raise RuntimeError(data)

    client, other = await connect(), await connect()
    with monkeypatch.context() as broken:
        broken.setattr(Message, "feed", feed)
        assert (await submit(client)).code == 451
    assert "unexpected RuntimeError during DATA" in caplog.text
    assert "in feed" in caplog.text
    assert SENDER not in caplog.text
    caplog.clear()
    # Its message was read to the end, so that its connection goes on as well.
    for each in (client, other):
        assert (await submit(each)).code == 250
    assert len(reinject.completed) == 2
