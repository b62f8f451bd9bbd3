"""Outgoing: who may send how much, as whom; and the envelope's parameters."""

import pytest

from tests.filtermail.gate.building import HEADERS, SENDER, message
from tests.filtermail.proxy.conftest import RECIPIENT, Connect, Start, submit
from tests.filtermail.proxy.dialogue import DATA, EHLO, Client, envelope, wire
from tests.filtermail.proxy.scripted import Reinject

CAROL = "carol@relay.example"


def written_by(author: str) -> bytes:
    return message(headers=HEADERS.replace(b"<alice@relay.example>", author.encode()))


async def test_rate_limit(start: Start, connect: Connect, reinject: Reinject) -> None:
    instance = await start(max_user_send_per_minute=1, max_user_send_burst_size=3)
    client = await connect(instance)
    assert [(await submit(client)).code for _ in range(3)] == [250] * 3
    reply = await submit(client)
    assert (reply.code, reply.text[:5]) == (450, "4.7.1")
    # Nor by another connection, nor by another spelling; and nobody else suffers.
    other = await connect(instance)
    assert (await other.submit(message(), "Alice@RELAY.example", [RECIPIENT])).code == 450
    assert (await other.submit(written_by(CAROL), CAROL, [RECIPIENT])).code == 250
    assert len(reinject.accepted) == 4


async def test_a_message_that_never_comes_is_not_counted(
    start: Start, connect: Connect, reinject: Reinject
) -> None:
    """Nobody may use up another user's allowance by naming them as the sender."""
    client = await connect(await start(max_user_send_per_minute=1, max_user_send_burst_size=1))
    for _ in range(3):
        await client.send(EHLO + envelope(SENDER, RECIPIENT) + b"RSET\r\n")
        assert await client.replies(4) == [250] * 4
    assert (await submit(client, written_by(CAROL))).code == 553
    assert (await submit(client)).code == 250
    assert (await submit(client)).code == 450
    assert len(reinject.messages) == 1


AUTHORS = [
    ("<mallory@relay.example>", 553),
    ("alice@relay.example.org", 553),
    ("<alice@relay.example>, <mallory@relay.example>", 553),
    ('"alice@relay.example" <mallory@relay.example>', 553),
    ("nobody", 553),
    ("", 553),
    ("ALICE@Relay.Example", 250),
    ('"mallory@relay.example" <alice@relay.example>', 250),
    ("Älice <alice@relay.example>", 250),
]


@pytest.mark.parametrize(("author", "code"), AUTHORS)
async def test_author_is_the_envelope_sender(
    author: str, code: int, client: Client, reinject: Reinject
) -> None:
    reply = await submit(client, written_by(author))
    assert reply.code == code
    assert "mallory" not in reply.text
    assert len(reinject.completed) == (code == 250)


async def test_no_from_and_two(client: Client, reinject: Reinject) -> None:
    line = b"From: <alice@relay.example>\r\n"
    assert (await submit(client, message(headers=HEADERS.replace(line, b"")))).code == 553
    assert (await submit(client, message(headers=line + HEADERS))).code == 553
    assert reinject.completed == []


async def test_nobody_as_sender_is_no_author(client: Client, reinject: Reinject) -> None:
    reply = await client.submit(message(), "", [RECIPIENT])
    assert reply.code == 553
    assert reinject.sessions == []


@pytest.mark.parametrize(
    "sender",
    [
        '"ceo alice@relay.example "@bank.example',
        '" alice@relay.example 0"@bank.example',
        '"alice"@relay.example',
        "älice@relay.example",
        "alice+tag@relay.example",
        "alice@bank.example",
        "alice@[192.0.2.1]",
    ],
)
async def test_only_plain_addresses_of_this_relay_send(
    sender: str, client: Client, reinject: Reinject
) -> None:
    """Whatever a quoted local part may look like to Postfix' table of logins."""
    await client.begin(sender, RECIPIENT)
    reply = await client.say(wire(written_by(f"<{sender}>")))
    assert (reply.code, reply.text[:5]) == (553, "5.7.1")
    assert reinject.sessions == []


async def test_parameters(client: Client, reinject: Reinject) -> None:
    """Those of the message go on, of the rest none is an error."""
    known = b"body=8bitmime SMTPUTF8"
    others = b"SIZE=1000 RET=HDRS ENVID=QQ314159 AUTH=<> MT-PRIORITY=3 X-NONE"
    await client.send(
        EHLO
        + f"MAIL FROM:<{SENDER}> ".encode()
        + known
        + b"  "
        + others
        + f"\r\nrcpt to: <{RECIPIENT}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{RECIPIENT}\r\n".encode()
        + DATA
    )
    assert await client.replies(4) == [250, 250, 250, 354]
    assert (await client.say(wire(message()))).code == 250
    (arrived,) = reinject.accepted
    assert arrived.sender == f"MAIL FROM:<{SENDER}> BODY=8BITMIME SMTPUTF8\r\n".encode()
    assert arrived.recipients == [f"RCPT TO:<{RECIPIENT}>\r\n".encode()]


async def test_addresses_go_on_as_they_came(client: Client, reinject: Reinject) -> None:
    sender, recipients = "Alice@RELAY.example", ['"B o b"@[IPv6:2001:DB8::1]', "postmaster"]
    await client.begin(sender, *recipients, parameters=" SMTPUTF8")
    assert (await client.say(wire(written_by(f"<{sender}>")))).code == 250
    (arrived,) = reinject.accepted
    assert arrived.sender == f"MAIL FROM:<{sender}> SMTPUTF8\r\n".encode()
    assert arrived.recipients == [f"RCPT TO:<{each}>\r\n".encode() for each in recipients]
