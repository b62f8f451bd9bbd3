"""The server's side of SMTP and LMTP: tables of octets and the events that they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp import commands
from relay.smtp.commands import Begin, Dialogue, Farewell, Rules, Transaction
from relay.smtp.datastream import Piece
from relay.smtp.reply import Reply

RULES = Rules("relay.example", 1000)
LMTP = Rules("relay.example", 1000, lmtp=True)
OK = Reply(250, ("2.0.0 Ok",))


def talk(dialogue: Dialogue, *octets: bytes, lmtp: bool = False) -> bytes:
    """Feed octets, and act as an owner who accepts every message; what is said until a hang-up."""
    said = b""
    for each in octets:
        dialogue.receive(each)
        while (event := dialogue.next()) is not None:
            match event:
                case bytes():
                    said += event
                case Farewell(text):
                    return said + text
                case Begin(text, transaction):
                    said += text
                    replies = [OK] * (len(transaction.recipients) if lmtp else 1)
                case Piece(ended=True):
                    said += dialogue.conclude(replies)
    return said


def codes(said: bytes) -> list[int]:
    """The codes of the replies, a reply of several lines once."""
    return [int(line[:3]) for line in said.splitlines() if line[3:4] == b" "]


EHLO = b"EHLO phone\r\n"
MAIL = b"MAIL FROM:<a@relay.example>\r\n"
RCPT = b"RCPT TO:<b@other.example>\r\n"
DATA = b"DATA\r\n"
LETTER = b"Subject: hi\r\n\r\nhello\r\n.\r\n"

DIALOGUES = [
    (EHLO, [250]),
    (b"ehlo phone\n", [250]),
    (b"HELO phone\r\n", [250]),
    (b"LHLO phone\r\n", [500]),
    (b"EHLO\r\n", [501]),
    (MAIL, [503]),
    (EHLO + MAIL, [250, 250]),
    (EHLO + MAIL + MAIL, [250, 250, 503]),
    (EHLO + RCPT, [250, 503]),
    (EHLO + MAIL + DATA, [250, 250, 503]),
    (EHLO + MAIL + RCPT + b"DATA now\r\n", [250, 250, 250, 501]),
    (EHLO + MAIL + RCPT + b"RSET\r\n" + RCPT, [250, 250, 250, 250, 503]),
    (EHLO + MAIL + RCPT + EHLO + RCPT, [250, 250, 250, 250, 503]),
    (EHLO + MAIL + b"RCPT TO:<>\r\n", [250, 250, 501]),
    (EHLO + b"MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\n" + DATA, [250, 250, 250, 354]),
    (EHLO + MAIL + RCPT + RCPT + DATA + LETTER, [250, 250, 250, 250, 354, 250]),
    (EHLO + (MAIL + RCPT + DATA + LETTER) * 2, [250] + [250, 250, 354, 250] * 2),
    (EHLO + MAIL[:-2] + b" SIZE=1000\r\n", [250, 250]),
    (EHLO + MAIL[:-2] + b" SIZE=1001\r\n", [250, 552]),
    (b"NOOP\r\nVRFY a\r\nVRFY\r\nEXPN l\r\n", [250, 252, 501, 502]),
    (b"STARTTLS\r\nAUTH PLAIN x\r\nHELP me\r\n", [454, 538, 501]),
    (b"\r\n\0\r\n\xff\xfe\r\nNO OP\r\n", [500, 500, 500, 500]),
    (b"x" * 5000 + b"\r\nNOOP\r\n", [500, 250]),
    (b"a\r\n" * 6, [500, 500, 500, 500, 502]),
    (b"QUIT now\r\nQUIT\r\nNOOP\r\n", [501, 221]),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), DIALOGUES, ids=lambda each: repr(each)[:50])
@pytest.mark.parametrize("step", [0, 1, 7])
def test_dialogue(octets: bytes, expected: list[int], step: int) -> None:
    step = step or len(octets)
    pieces = [octets[at : at + step] for at in range(0, len(octets), step)]
    said = talk(Dialogue(RULES), *pieces)
    assert codes(said) == expected


LMTP_DIALOGUES = [
    (b"EHLO phone\r\n", [500]),
    (b"HELO phone\r\n", [500]),
    (b"LHLO postfix\r\n", [250]),
    (b"LHLO postfix\r\n" + MAIL + RCPT * 3 + DATA + LETTER, [250] * 5 + [354] + [250] * 3),
]


@pytest.mark.parametrize(("octets", "expected"), LMTP_DIALOGUES)
def test_lmtp_has_a_reply_for_each_recipient(octets: bytes, expected: list[int]) -> None:
    assert codes(talk(Dialogue(LMTP), octets, lmtp=True)) == expected


def test_the_banner_names_the_protocol() -> None:
    assert RULES.banner == b"220 relay.example ESMTP Postern\r\n"
    assert LMTP.banner == b"220 relay.example LMTP Postern\r\n"


def test_what_a_server_says_of_itself() -> None:
    assert talk(Dialogue(RULES), EHLO).split(b"\r\n") == [
        b"250-relay.example",
        b"250-PIPELINING",
        b"250-SIZE 1000",
        b"250-8BITMIME",
        b"250-SMTPUTF8",
        b"250 ENHANCEDSTATUSCODES",
        b"",
    ]


def events(dialogue: Dialogue, octets: bytes) -> list[object]:
    dialogue.receive(octets)
    return list(iter(dialogue.next, None))


def begun(octets: bytes) -> Transaction:
    """The transaction that these octets open."""
    last = events(Dialogue(RULES), octets)[-1]
    assert isinstance(last, Begin)
    return last.transaction


def test_a_transaction_is_as_it_was_written_and_as_it_is_understood() -> None:
    opened = begun(
        EHLO + b"mail from: <Alice@RELAY.example>  body=8bitmime SIZE=1 X\r\n"
        b"RCPT TO:<Bob@[IPv6:2001:DB8::1]> NOTIFY=NEVER\r\nRCPT TO:<postMASTER>\r\n" + DATA
    )
    assert opened.sender.text == "Alice@RELAY.example"
    assert str(opened.sender.address) == "alice@relay.example"
    assert opened.sender.parameters == ("BODY=8BITMIME", "SIZE=1", "X")
    assert [path.text for path in opened.recipients] == ["Bob@[IPv6:2001:DB8::1]", "postMASTER"]
    assert [str(path.address) for path in opened.recipients] == [
        "bob@[ipv6:2001:db8::1]",
        "postmaster@relay.example",
    ]


def test_the_empty_sender_has_no_address() -> None:
    sender = begun(EHLO + b"MAIL FROM:<>\r\n" + RCPT + DATA).sender
    assert (sender.text, sender.address) == ("", None)


def test_commands_behind_the_dot_wait_for_the_answer() -> None:
    dialogue = Dialogue(RULES)
    *_, piece = events(dialogue, EHLO + MAIL + RCPT + DATA + LETTER + b"NOOP\r\n" + MAIL)
    assert isinstance(piece, Piece)
    assert piece.ended
    assert piece.content == LETTER.removesuffix(b".\r\n")
    assert dialogue.in_transaction
    assert dialogue.waiting == len(b"NOOP\r\n" + MAIL)
    assert dialogue.conclude([Reply(451, ("4.3.0 Later",))]) == b"451 4.3.0 Later\r\n"
    assert not dialogue.in_transaction
    assert events(dialogue, b"") == [b"250 2.0.0 Ok\r\n", b"250 2.1.0 Ok\r\n"]


def test_recipients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_RECIPIENTS", 2)
    assert codes(talk(Dialogue(RULES), EHLO + MAIL + RCPT * 3)) == [250] * 4 + [452]


def test_nothing_is_kept_of_a_line_without_end() -> None:
    dialogue = Dialogue(RULES)
    for _ in range(100):
        assert events(dialogue, b"x" * 10_000) == []
        assert dialogue.waiting == 0
    assert codes(talk(dialogue, b"\r\nNOOP\r\n")) == [500, 250]


def test_unknown_commands_leave_nothing_behind() -> None:
    dialogue = Dialogue(RULES)
    said = talk(dialogue, *(b"X%d " % n + b"y" * 4000 + b"\r\n" for n in range(4)))
    assert codes(said) == [500] * 4
    assert dialogue.waiting == 0


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1))
def test_however_octets_are_cut_they_say_the_same(octets: bytes, steps: list[int]) -> None:
    octets = EHLO + octets + b"\r\n" + MAIL + RCPT + DATA + octets + b"\r\n.\r\nNOOP\r\n"
    pieces, at = [], 0
    for step in steps * len(octets):
        pieces.append(octets[at : at + step])
        at += step
        if at >= len(octets):
            break
    assert talk(Dialogue(RULES), *pieces) == talk(Dialogue(RULES), octets)
