"""A message on its way: what goes on of it, size, and the permission to be cleartext."""

import pytest

from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Malformed, NotEncrypted, Refusal, TooBig
from relay.address import Address
from tests.filtermail.gate.building import (
    CONTENT_TYPE,
    HEADERS,
    LIMIT,
    armoured,
    judge,
    message,
    seipd,
)

CLEARTEXT = b"From: bob@example.org\r\nSubject: hi\r\nX-Any: thing\r\n\r\n.hello\r\n..\r\n\xff\r\n"


def incoming(limit: int = LIMIT, *, cleartext: bool = False) -> Trial:
    envelope = Envelope(Address.parse("bob@example.org"), ())
    return Trial(envelope, Direction.INCOMING, limit, cleartext=cleartext)


def test_headers_are_held_until_they_are_judged() -> None:
    whole = message()
    held = Trial(Envelope(Address.parse("alice@relay.example"), ()), Direction.OUTGOING, LIMIT)
    end = whole.index(b"\r\n\r\n") + 4
    assert held.feed(whole[: end - 3]) == b""
    # A CR or CRLF may be the beginning of the final dot's line, so it stays back.
    assert held.feed(whole[end - 3 : end + 40]).endswith(whole[end : end + 40].rstrip(b"\r\n"))


def test_bytes_go_on_before_the_message_is_whole() -> None:
    content = message(armour=armoured(seipd(size=100_000)))
    judged = Trial(Envelope(Address.parse("alice@relay.example"), ()), Direction.OUTGOING, LIMIT)
    out = judged.feed(content[:50_000])
    assert len(out) > 49_000
    assert not judged.ended


def test_headers_that_tell_do_not_go_out() -> None:
    telling = (
        b"Received: from phone (unknown [192.0.2.7]) by relay.example\r\n"
        b"User-Agent: Phone/7\r\nX-Mailer: Phone\r\nX-Originating-IP: 192.0.2.7\r\n"
        b"Subject: lunch\r\n at noon\r\nBcc: <carol@relay.example>\r\nX-Note: y\r\n"
        b"Chat-Version: 1.0\r\nAutocrypt: addr=a; keydata=b\r\nList-Id: <c>\r\n"
        b"In-Reply-To: <d@e>\r\n"
    )
    base = HEADERS.replace(b"Subject: [...]\r\n", b"")
    named = base.replace(b"From: ", b"From: Alice from the Bakery ").replace(b"1.0", b"1.0 (Phone)")
    reply, out = judge(message(headers=telling + named))
    assert reply is None
    head = out.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert head == (
        b"Subject: [...]\r\nChat-Version: 1.0\r\nIn-Reply-To: <d@e>\r\n" + base + CONTENT_TYPE
    )


def test_incoming_headers_stay_as_they_are() -> None:
    content = message(headers=b"Received: from x\r\nX-Any: thing\r\nSubject:  odd\r\n" + HEADERS)
    assert judge(content, direction=Direction.INCOMING) == (None, content)


def test_a_header_that_begins_with_a_dot_stays_stuffed() -> None:
    """On the wire it has two; with one, the next server would take it for another header."""
    content = b".From: <x@y.example>\r\n" + message()
    reply, out = judge(content, direction=Direction.INCOMING)
    assert reply is None
    assert out == b"." + content


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_cleartext_goes_on_octet_for_octet_where_it_is_wanted(step: int) -> None:
    wire = CLEARTEXT.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    judged, out = incoming(cleartext=True), b""
    for at in range(0, len(wire), step):
        out += judged.feed(wire[at : at + step])
    assert judged.ended
    assert out + b".\r\n" == wire


def test_an_encrypted_looking_message_may_turn_out_cleartext() -> None:
    content = message(armour=armoured(seipd(size=9000)) + b"and text\r\n")
    judged, out = incoming(cleartext=True), b""
    wire = content + b".\r\n"
    for at in range(0, len(wire), 1000):
        out += judged.feed(wire[at : at + 1000])
    assert out == content


def test_a_header_block_alone_is_a_message() -> None:
    wire = b"From: bob@example.org\r\nSubject: hi\r\n.\r\n"
    with pytest.raises(NotEncrypted):
        incoming().feed(wire)
    judged = incoming(cleartext=True)
    assert judged.feed(wire) == b"From: bob@example.org\r\nSubject: hi\r\n\r\n"
    assert judged.ended


@pytest.mark.parametrize("body", [b"a\nb", b"a\rb", b"a\n.\r\nMAIL", b"a\r\n.\nb", b"a\r\r\nb"])
def test_no_permission_for_bare_line_ends(body: bytes) -> None:
    """They are how mail is smuggled: two servers disagree on where the message ends."""
    judged = incoming(cleartext=True)
    judged.feed(b"From: bob@example.org\r\n\r\nx")
    with pytest.raises(Malformed):
        judged.feed(body + b"\r\n.\r\n")
    with pytest.raises(Malformed):
        incoming(cleartext=True).feed(b"From: bob@example.org\r\n\r\n" + body + b"\r\n.\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"no colon\r\n",
        b" folded: first\r\n",
        b"From : a@b\r\n",
        b"A: \0\r\n",
        b"A: b\nc\r\n",
        b": x\r\n",
    ],
)
def test_malformed_headers(head: bytes) -> None:
    for direction in Direction:
        reply, _ = judge(head + b"\r\nhi\r\n", direction=direction)
        assert reply is not None
        assert reply.code == 554


def test_header_block_is_bounded() -> None:
    judged = incoming()
    for _ in range(13):
        judged.feed(b"X-Long: " + b"x" * 9990 + b"\r\n")
    with pytest.raises(Malformed):
        judged.feed(b"X-Long: " + b"x" * 9990 + b"\r\n")


@pytest.mark.parametrize("excess", [0, 1])
def test_size_is_counted_without_stuffed_dots(excess: int) -> None:
    body = b"." * 10 + b"\r\n" + b".\r\n.a\r\n"
    content = b"From: bob@example.org\r\n\r\n" + body
    wire = content.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    judged = incoming(limit=len(content) - excess, cleartext=True)
    if excess:
        with pytest.raises(TooBig):
            judged.feed(wire)
    else:
        assert judged.feed(wire) + b".\r\n" == wire
    assert judged.ended


@pytest.mark.parametrize("limit", [100, 3000])
@pytest.mark.parametrize("step", [0, 1, 64])
def test_a_fault_before_the_limit_is_told_before_the_size(limit: int, step: int) -> None:
    reply, _ = judge(message(preamble=b"text\r\n" + b"x\r\n" * 5000), limit=limit, step=step)
    assert reply is not None
    assert reply.code == (552 if limit == 100 else 523)


@pytest.mark.parametrize("limit", range(1, 60))
def test_a_line_end_cut_by_the_limit_is_no_fault(limit: int) -> None:
    judged = incoming(limit=25 + limit, cleartext=True)
    judged.feed(b"From: a@b.example\r\n\r\nx")
    with pytest.raises(TooBig):
        judged.feed(b"\r\n" * 60 + b".\r\n")


def test_after_a_refusal_the_rest_is_read_to_its_end() -> None:
    judged = incoming(limit=100)
    with pytest.raises(TooBig):
        judged.feed(b"X" * 200)
    assert judged.feed(b"\r\nMAIL FROM:<x@y>\r\n") == b""
    assert not judged.ended
    assert judged.feed(b"\r\n.\r\nQUIT\r\n") == b""
    assert judged.ended
    assert judged.rest == b"QUIT\r\n"


def test_every_refusal_is_an_smtp_reply() -> None:
    for refusal in (NotEncrypted("x"), Malformed("x"), TooBig(1), Refusal(550, "x")):
        line = refusal.reply.encode()
        assert 500 <= int(line[:3]) < 600
        assert line.endswith(b"\r\n")
