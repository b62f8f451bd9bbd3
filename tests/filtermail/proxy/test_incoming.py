"""Incoming: encrypted messages, bounces, and cleartext for who wants it; on real mailboxes."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from filtermail.gate.grammar import Direction
from relay.mailbox.directory import ENFORCE, PASSWORD
from tests.filtermail.gate.building import message
from tests.filtermail.proxy.conftest import DOMAIN, Connect, Start
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
BOUNCE = (
    b"From: Mail Delivery System <MAILER-DAEMON@other.example>\r\n"
    b"Subject: Undelivered Mail Returned to Sender\r\n"
    b"Auto-Submitted: auto-replied\r\n"
    b'Content-Type: multipart/report; report-type=delivery-status; boundary="x"\r\n'
    b"\r\n--x\r\n\r\nsorry\r\n--x--\r\n"
)
MakeMailbox = Callable[..., Path]


@pytest.fixture
def mailbox(tmp_path: Path) -> MakeMailbox:
    """Make a mailbox as existing relays have it on their disk."""

    def make(address: str, *, enforce: bool) -> Path:
        path = tmp_path / "mail" / address
        path.mkdir(parents=True)
        (path / PASSWORD).write_text("{SHA512-CRYPT}$6$salt$hash")
        if enforce:
            (path / ENFORCE).touch()
        return path

    return make


@pytest.fixture
async def client(start: Start, connect: Connect) -> Client:
    return await connect(await start(Direction.INCOMING))


async def test_encrypted_for_anyone(client: Client, reinject: Reinject) -> None:
    headers = CLEARTEXT.partition(b"Content-Type")[0]
    content = message(headers=headers)
    assert (await client.submit(content, FAR, [ALICE])).code == 250
    (arrived,) = reinject.accepted
    assert arrived.content == content


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
    assert (await client.submit(CLEARTEXT, FAR, [ALICE])).code == 523
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
        [f"nobody@{DOMAIN}"],
        ["alice@other.example"],
        [f"/alice@{DOMAIN}"],
        [f'"al ice"@{DOMAIN}'],
        ["postmaster"],
    ],
    ids=["enforces", "unknown", "another-domain", "path", "quoted", "postmaster"],
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


async def test_who_takes_cleartext_gets_none_from_here(
    start: Start, connect: Connect, mailbox: MakeMailbox, reinject: Reinject
) -> None:
    mailbox(ALICE, enforce=False)
    client = await connect(await start(Direction.OUTGOING))
    assert (await client.submit(CLEARTEXT, FAR, [ALICE])).code == 523
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
    half_encrypted = message(epilogue=b"but this is not\r\n.\r\n")
    for content in (CLEARTEXT, half_encrypted, b"Subject: headers alone\r\n"):
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
    assert (await client.submit(CLEARTEXT, FAR, [ALICE])).code == 451
    assert reinject.completed == []
    assert (await client.submit(message(), FAR, [ALICE])).code == 250


async def test_nothing_is_made_of_mailboxes(client: Client, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    before = stat.S_IMODE((tmp_path / "mail").stat().st_mode)
    assert (await client.submit(CLEARTEXT, FAR, [ALICE])).code == 523
    assert list((tmp_path / "mail").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "mail").stat().st_mode) == before
