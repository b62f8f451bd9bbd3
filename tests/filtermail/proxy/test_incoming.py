"""Incoming: encrypted messages, bounces, and cleartext for who wants it; on real mailboxes."""

import os
import stat
from pathlib import Path

import pytest

from filtermail.gate.grammar import Direction
from relay.mailbox.directory import ENFORCE, MARK, PASSWORD, prepare_root
from relay.owner import Owner
from tests.filtermail.gate.building import bounce, message
from tests.filtermail.proxy.conftest import DOMAIN, Connect, MakeMailbox, Start
from tests.filtermail.proxy.dialogue import Client, wire
from tests.filtermail.proxy.scripted import Reinject

ALICE, CAROL = f"alice@{DOMAIN}", f"carol@{DOMAIN}"
FAR = "bob@other.example"
CLEARTEXT = (
    b"Received: from there by here; Mon, 16 Nov 2026 12:34:14 +0000\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256;\r\n\tb=AAAA\r\n"
    b"from:  Bob  <bob@other.example>\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"X-Anything: \r\n"
    b"Content-Type: text/html; charset=latin1\r\n"
    b"\r\n"
    b".hello\r\n..\r\n\xff\xfe\0 tab\t \r\n\r\n"
)
BOUNCE = bounce()


@pytest.fixture
async def client(start: Start, connect: Connect) -> Client:
    return await connect(await start(Direction.INCOMING))


ENCRYPTED = message(headers=CLEARTEXT.partition(b"Content-Type")[0])


@pytest.mark.parametrize("enforce", [True, False])
async def test_encrypted_for_anyone(
    enforce: bool, client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE, enforce=enforce)
    assert (await client.submit(ENCRYPTED, FAR, [ALICE])).code == 250
    (arrived,) = reinject.accepted
    assert arrived.content == ENCRYPTED
    assert arrived.sender == b"MAIL FROM:<bob@other.example>\r\n"


@pytest.mark.parametrize("state", ["missing", "half-made", "blocked"])
async def test_nobody_to_deliver_to(
    state: str, client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    """Refused at once: a bounce would go to whoever a stranger names as the sender."""
    mailbox(CAROL)
    if state == "blocked":
        (mailbox(ALICE) / PASSWORD).write_text("")
    elif state == "half-made":
        (mailbox(ALICE) / PASSWORD).unlink()
    reply = await client.submit(ENCRYPTED, FAR, [ALICE])
    assert (reply.code, reply.text[:5]) == (550, "5.1.1")
    assert reinject.sessions == []
    # Beside one who exists, the other is left out: a refusal would be for both.
    assert (await client.submit(ENCRYPTED, FAR, [ALICE, CAROL])).code == 250
    (arrived,) = reinject.accepted
    assert arrived.recipients == [f"RCPT TO:<{CAROL}>\r\n".encode()]


async def test_who_is_not_the_author_gets_no_bounce(
    client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE)
    assert (await client.submit(ENCRYPTED, "victim@third.example", [ALICE])).code == 250
    (arrived,) = reinject.accepted
    assert arrived.sender == b"MAIL FROM:<>\r\n"


OWN = f"carol@{DOMAIN}"


@pytest.mark.parametrize(
    ("sender", "author"), [(OWN, OWN), (OWN, FAR), (FAR, OWN), ("", OWN), (OWN.upper(), FAR)]
)
@pytest.mark.parametrize("enforce", [True, False])
async def test_a_stranger_does_not_write_as_a_user_of_this_relay(
    sender: str,
    author: str,
    enforce: bool,
    client: Client,
    mailbox: MakeMailbox,
    reinject: Reinject,
) -> None:
    mailbox(ALICE, enforce=enforce)
    content = ENCRYPTED.replace(FAR.encode(), author.encode())
    reply = await client.submit(content, sender, [ALICE])
    assert (reply.code, reply.text[:5]) == (550, "5.7.1")
    assert reinject.sessions == []


OWN_LINE = b"from:  Bob  <bob@other.example>\r\n"


@pytest.mark.parametrize(
    "lines",
    [b"", OWN_LINE * 2, b"From: bob@other.example, z@other.example\r\n", b"From: bob\r\n"],
    ids=["none", "twice", "two", "no-address"],
)
@pytest.mark.parametrize("enforce", [True, False])
async def test_one_author_and_no_more(
    lines: bytes, enforce: bool, client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE, enforce=enforce)
    content = ENCRYPTED.replace(OWN_LINE, lines)
    assert (await client.submit(content, FAR, [ALICE])).code == 554
    assert reinject.sessions == []


async def test_bounce(client: Client, mailbox: MakeMailbox, reinject: Reinject) -> None:
    mailbox(ALICE, enforce=True)
    assert (await client.submit(BOUNCE, "", [ALICE])).code == 250
    assert (await client.submit(BOUNCE, FAR, [ALICE])).code == 523
    (arrived,) = reinject.accepted
    assert arrived.content == BOUNCE
    assert arrived.sender == b"MAIL FROM:<>\r\n"


async def test_cleartext_by_mailbox(
    client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    path = mailbox(ALICE, enforce=True)
    reply = await client.submit(CLEARTEXT, FAR, [ALICE])
    assert reply.code == 523
    assert reply.text.startswith("Encryption Needed: Invalid Unencrypted Mail")
    (path / ENFORCE).unlink()
    assert (await client.submit(CLEARTEXT, FAR, ["Alice@RELAY.example"])).code == 250
    (path / ENFORCE).touch()
    assert (await client.submit(CLEARTEXT, FAR, [ALICE])).code == 523
    (arrived,) = reinject.completed
    assert arrived.content == CLEARTEXT


@pytest.mark.parametrize(
    "others",
    [
        [CAROL],
        ["alice@other.example"],
        [f"nobody@{DOMAIN}", CAROL],
    ],
    ids=["enforces", "another-domain", "unknown-and-enforces"],
)
@pytest.mark.parametrize("first", [True, False])
async def test_one_recipient_who_does_not_take_cleartext(
    others: list[str], first: bool, client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE, enforce=False)
    mailbox(CAROL, enforce=True)
    recipients = [*others, ALICE] if first else [ALICE, *others]
    assert (await client.submit(CLEARTEXT, FAR, recipients)).code == 523
    assert reinject.completed == []
    assert (await client.submit(CLEARTEXT, FAR, [ALICE])).code == 250


@pytest.mark.parametrize(
    "other",
    [f"nobody@{DOMAIN}", f"/alice@{DOMAIN}", f'"al ice"@{DOMAIN}', "postmaster"],
    ids=["unknown", "path", "quoted", "postmaster"],
)
async def test_who_does_not_exist_has_no_say(
    other: str, client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE, enforce=False)
    assert (await client.submit(CLEARTEXT, FAR, [other, ALICE])).code == 250
    (arrived,) = reinject.accepted
    assert arrived.recipients == [f"RCPT TO:<{ALICE}>\r\n".encode()]


async def test_who_takes_cleartext_gets_none_from_here(
    start: Start, connect: Connect, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE, enforce=False)
    client = await connect(await start(Direction.OUTGOING))
    content = CLEARTEXT.replace(FAR.encode(), CAROL.encode())
    assert (await client.submit(content, CAROL, [ALICE])).code == 523
    assert reinject.completed == []


async def test_cleartext_for_two_who_take_it(
    client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE, enforce=False)
    mailbox(CAROL, enforce=False)
    assert (await client.submit(CLEARTEXT, FAR, [ALICE, CAROL])).code == 250
    assert len(reinject.accepted) == 1


@pytest.mark.parametrize("step", [1, 7, 100, 5000])
async def test_cleartext_however_it_is_cut(
    step: int, client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    """It is recognised as none at any place, late ones too; and nothing gets lost there."""
    mailbox(ALICE, enforce=False)
    half_encrypted = ENCRYPTED + b"but this is not\r\n.\r\n"
    for content in (CLEARTEXT, half_encrypted, b"From: bob@other.example\r\n"):
        await client.begin(FAR, ALICE)
        sent = wire(content)
        for at in range(0, len(sent), step):
            await client.send(sent[at : at + step])
        assert (await client.reply()).code == 250
        arrived = reinject.accepted[-1]
        assert arrived.content in (content, content + b"\r\n")


async def test_a_disk_that_does_not_answer_is_temporary(
    start: Start, connect: Connect, tmp_path: Path, reinject: Reinject
) -> None:
    # Longer than any path may be (PATH_MAX).
    unreachable = tmp_path.joinpath(*["x" * 250] * 20)
    client = await connect(await start(Direction.INCOMING, mailboxes_dir=unreachable))
    for content in (CLEARTEXT, ENCRYPTED):
        assert (await client.submit(content, FAR, [ALICE])).code == 451
    assert reinject.sessions == []


@pytest.mark.parametrize("mount_point", [False, True])
async def test_mailboxes_that_are_not_mounted_are_temporary(
    client: Client, reinject: Reinject, tmp_path: Path, mount_point: bool
) -> None:
    """Nobody is unknown for that."""
    if mount_point:
        (tmp_path / "mail").mkdir()
    assert (await client.submit(ENCRYPTED, FAR, [ALICE])).code == 451
    assert reinject.sessions == []


async def test_nothing_is_made_of_mailboxes(client: Client, tmp_path: Path) -> None:
    prepare_root(tmp_path / "mail", Owner(os.geteuid(), os.getegid()))
    before = stat.S_IMODE((tmp_path / "mail").stat().st_mode)
    assert (await client.submit(CLEARTEXT, FAR, [ALICE])).code == 550
    assert [path.name for path in (tmp_path / "mail").iterdir()] == [MARK]
    assert stat.S_IMODE((tmp_path / "mail").stat().st_mode) == before


@pytest.fixture
async def with_operator(start: Start, connect: Connect) -> Client:
    return await connect(await start(Direction.INCOMING, operator_address="op@far.example"))


@pytest.mark.parametrize(
    "role", [f"postmaster@{DOMAIN}", f"Abuse@{DOMAIN}", "Postmaster"], ids=str.lower
)
async def test_the_operator_is_reached_in_cleartext(
    role: str, with_operator: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    """RFC 5321, 4.5.1: also without a domain."""
    mailbox(ALICE)
    assert (await with_operator.submit(CLEARTEXT, FAR, [role])).code == 250
    (arrived,) = reinject.accepted
    assert arrived.recipients == [f"RCPT TO:<{role}>\r\n".encode()]
    # It opens no way to anybody else.
    assert (await with_operator.submit(CLEARTEXT, FAR, [role, ALICE])).code == 523


async def test_without_an_operator_the_roles_are_nobody(
    client: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE)
    assert (await client.submit(ENCRYPTED, FAR, [f"postmaster@{DOMAIN}"])).code == 550
    assert reinject.sessions == []


async def test_mail_to_the_operator_has_limits(
    with_operator: Client, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE)
    role = f"abuse@{DOMAIN}"
    large = CLEARTEXT + b"1234567890123456789012345678\r\n" * 40_000
    assert (await with_operator.submit(large, FAR, [role])).code == 552
    codes = [(await with_operator.submit(CLEARTEXT, FAR, [role])).code for _ in range(20)]
    assert codes == [250] * 19 + [450]
    # Encrypted mail is not counted, and others notice nothing.
    assert (await with_operator.submit(ENCRYPTED, FAR, [ALICE])).code == 250
    assert len(reinject.accepted) == 20
