"""The way of one message, brought by a source that is no SMTP session, with observers beside."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from filtermail.deliver import Gateway, deliver
from filtermail.figures import Figures
from filtermail.gate.grammar import Everything
from filtermail.gate.headers import Headers
from filtermail.gate.message import Observer
from filtermail.gate.verdict import Refusal
from filtermail.policy import Passage
from filtermail.reinject import Pool
from relay.smtp.commands import Transaction
from relay.smtp.datastream import DataStream, Piece
from relay.smtp.path import parse_path
from relay.smtp.reply import Reply
from tests.filtermail.proxy.scripted import Reinject

HEADER = b"From: <a@other.example>\r\nSubject: hi\r\n"
BODY = b".first line\r\n" + b"x" * 70 + b"\r\nlast line\r\n"
TRANSACTION = Transaction(
    parse_path("FROM:", "FROM:<a@other.example> BODY=8BITMIME X=Y"),
    (parse_path("TO:", "TO:<b@relay.example>"),),
)


class Pieces:
    """A message in pieces of so many octets."""

    def __init__(self, content: bytes, step: int) -> None:
        wire = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
        stream = DataStream()
        self._pieces = [stream.feed(wire[at : at + step]) for at in range(0, len(wire), step)]
        self.left = len(self._pieces)

    async def read(self) -> Piece:
        self.left -= 1
        return self._pieces[-self.left - 1]


class Watcher:
    """Writes down what it sees, and says no if it is told to."""

    def __init__(self, refusal: Refusal | None = None) -> None:
        self.seen = b""
        self.concluded = False
        self._refusal = refusal

    def feed(self, content: bytes) -> None:
        self.seen += content

    async def conclude(self) -> None:
        await asyncio.sleep(0)  # for a key, say
        self.concluded = True
        if self._refusal is not None:
            raise self._refusal


class Fixed:
    """A policy that lets everything pass, under another envelope, with observers."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    async def judge(self, header: bytes, _transaction: Transaction) -> Passage:
        headers = Headers.parse(header)
        recipients = ("c@relay.example", "d@relay.example")
        return Passage("", recipients, headers.unchanged(), Everything(), self._observers)


@pytest.fixture
async def reinject() -> AsyncIterator[Reinject]:
    server = Reinject()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def pool(reinject: Reinject) -> AsyncIterator[Pool]:
    loop = asyncio.get_running_loop()
    connect = functools.partial(loop.create_connection, host="127.0.0.1", port=reinject.port)
    pool = Pool(connect, "relay.example", time.monotonic)
    yield pool
    pool.close()


async def delivered(pool: Pool, step: int, observers: Sequence[Observer]) -> tuple[Reply, Pieces]:
    source = Pieces(HEADER + b"\r\n" + BODY, step)
    gateway = Gateway(Fixed(*observers), pool, 10_000, Figures())
    return await deliver(source, TRANSACTION, gateway), source


@pytest.mark.parametrize("step", [1, 10, 60, 1000])
async def test_observers_see_the_body_and_have_a_say(
    step: int, pool: Pool, reinject: Reinject
) -> None:
    one, other = Watcher(), Watcher()
    reply, source = await delivered(pool, step, [one, other])
    assert reply.code == 250
    assert source.left == 0
    assert one.seen == other.seen == BODY
    assert one.concluded
    assert other.concluded
    (arrived,) = reinject.accepted
    assert arrived.content == HEADER + b"\r\n" + BODY


@pytest.mark.parametrize("step", [1, 1000])
async def test_an_observer_that_refuses_keeps_back_the_dot(
    step: int, pool: Pool, reinject: Reinject
) -> None:
    watcher = Watcher(Refusal(554, "5.7.1 No valid DKIM signature found"))
    reply, _ = await delivered(pool, step, [watcher])
    assert reply == Reply(554, ("5.7.1 No valid DKIM signature found",))
    assert watcher.seen == BODY
    assert reinject.completed == []


async def test_the_envelope_follows_from_the_header(pool: Pool, reinject: Reinject) -> None:
    await delivered(pool, 1000, [])
    (arrived,) = reinject.accepted
    assert arrived.sender == b"MAIL FROM:<> BODY=8BITMIME\r\n"
    assert arrived.recipients == [
        b"RCPT TO:<c@relay.example>\r\n",
        b"RCPT TO:<d@relay.example>\r\n",
    ]


async def test_a_refusal_is_returned_before_the_message_is_read_to_its_end(
    pool: Pool, reinject: Reinject
) -> None:
    class Strict(Fixed):
        async def judge(self, header: bytes, transaction: Transaction) -> Passage:
            raise Refusal(550, "5.1.1 Nobody")

    source = Pieces(HEADER + b"\r\n" + BODY, 1)
    reply = await deliver(source, TRANSACTION, Gateway(Strict(), pool, 10_000, Figures()))
    assert reply.code == 550
    assert source.left > 0
    assert reinject.sessions == []
