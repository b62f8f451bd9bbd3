"""Many at once: each message is delivered once, and to whom it was for."""

import asyncio

import pytest

from filtermail import reinject as limits
from tests.filtermail.gate.building import HEADERS
from tests.filtermail.proxy.conftest import Connect, Running, Spawn, Start
from tests.filtermail.proxy.scripted import HANG_UP, Reinject, refuse
from tests.filtermail.proxy.spawning import Spawned
from tests.filtermail.proxy.test_verdicts import ACCEPTED, SAMPLES, SAMPLES_DOMAIN, sender_of

CLIENTS = 200


@pytest.mark.parametrize("own_process", [False, True], ids=["asyncio", "uvloop"])
async def test_200_clients(
    own_process: bool, start: Start, spawn: Spawn, connect: Connect, reinject: Reinject
) -> None:
    instance: Running | Spawned = await (
        spawn(domain=SAMPLES_DOMAIN) if own_process else start(mail_domain=SAMPLES_DOMAIN)
    )
    clients = await asyncio.gather(*(connect(instance) for _ in range(CLIENTS)))

    async def send(number: int) -> int:
        content = SAMPLES[ACCEPTED[number % len(ACCEPTED)]]
        recipient = f"r{number}@other.example"
        return (await clients[number].submit(content, sender_of(content), [recipient])).code

    codes = await asyncio.gather(*map(send, range(CLIENTS)))
    assert set(codes) == {250}
    assert len(reinject.completed) == CLIENTS
    assert reinject.most_at_once <= limits.MAX_CONNECTIONS < CLIENTS
    for number in range(CLIENTS):
        (arrived,) = by_recipient(reinject, number)
        content = SAMPLES[ACCEPTED[number % len(ACCEPTED)]]
        assert arrived == content.partition(b"\r\n\r\n")[2]


def by_recipient(reinject: Reinject, number: int) -> list[bytes]:
    """The bodies of what came for one recipient."""
    to = b"RCPT TO:<r%d@other.example>\r\n" % number
    return [arrived.body for arrived in reinject.completed if arrived.recipients == [to]]


async def test_accepted_refused_and_failed_side_by_side(
    start: Start, connect: Connect, reinject: Reinject
) -> None:
    """Whoever heard 250 has one message delivered, whoever did not has none."""
    instance = await start(mail_domain=SAMPLES_DOMAIN)
    acts = [None, HANG_UP, refuse("452 4.3.1 Full"), refuse("421 4.3.2 Bye", hang_up=True)]
    for step in ("MAIL", "RCPT", "DATA", "body", "dot"):
        reinject.at(step, *(acts if step != "body" else acts[:2]) * 5)
    sample = SAMPLES[ACCEPTED[0]]
    sender = sender_of(sample)
    cleartext = HEADERS.replace(b"alice@relay.example", sender.encode()) + b"\r\nhi\r\n"

    async def send(first: int) -> list[int]:
        client = await connect(instance)
        codes = []
        for number in range(first, first + 5):
            content = sample if number % 3 else cleartext
            reply = await client.submit(content, sender, [f"r{number}@other.example"])
            codes.append(reply.code)
        return codes

    rows = await asyncio.gather(*(send(at * 5) for at in range(20)))
    codes = [code for row in rows for code in row]
    assert set(codes) <= {250, 451, 452, 523}
    assert codes.count(250) > 0
    for number, code in enumerate(codes):
        assert len(by_recipient(reinject, number)) == (code == 250) or code in (451, 452)
    heard = {number for number, code in enumerate(codes) if code == 250}
    delivered = [arrived.recipients[0] for arrived in reinject.accepted]
    assert sorted(delivered) == sorted(b"RCPT TO:<r%d@other.example>\r\n" % n for n in heard)
