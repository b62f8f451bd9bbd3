"""Replies: as they are written, and as they are read."""

import pytest

from relay.smtp.reply import MAX_LINE, BadReply, Reply, ReplyReader

REPLIES = [
    (b"250 Ok\r\n", [Reply(250, ("Ok",))]),
    (b"250 Ok\n", [Reply(250, ("Ok",))]),
    (b"250\r\n", [Reply(250, ("",))]),
    (b"250-a\r\n250-b\r\n250 c\r\n", [Reply(250, ("a", "b", "c"))]),
    (b"250 a\r\n354 b\r\n421 c\r\n", [Reply(250, ("a",)), Reply(354, ("b",)), Reply(421, ("c",))]),
    (b"550 5.7.1 N\xc3\xb6\r\n", [Reply(550, ("5.7.1 Nö",))]),
    (b"550 \xff\r\n", [Reply(550, ("\ufffd",))]),
    (b"250-a\r\n", []),
    (b"250", []),
]


@pytest.mark.parametrize(("octets", "expected"), REPLIES)
@pytest.mark.parametrize("step", [1, 2, 1000])
def test_read(octets: bytes, expected: list[Reply], step: int) -> None:
    reader, replies = ReplyReader(), []
    for at in range(0, len(octets), step):
        replies += reader.feed(octets[at : at + step])
    assert replies == expected


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b"ok\r\n",
        b"250ok\r\n",
        b"25\r\n",
        b"150 not yet\r\n",
        b"999 what\r\n",
        b"250 a\rb\r\n",
        b"2" * (MAX_LINE + 1),
        b"250 " + b"x" * MAX_LINE + b"\r\n",
        b"250-more\r\n" * 200,
    ],
    ids=lambda octets: repr(octets[:12]),
)
def test_what_is_no_reply(octets: bytes) -> None:
    with pytest.raises(BadReply):
        ReplyReader().feed(octets)


@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        (Reply(250, ("Ok",)), b"250 Ok\r\n"),
        (Reply(250, ("a", "b")), b"250-a\r\n250 b\r\n"),
        (Reply(554, ("",)), b"554 \r\n"),
        (Reply(550, ("Nö \udcff",)), "550 Nö ?\r\n".encode()),
    ],
)
def test_written(reply: Reply, octets: bytes) -> None:
    assert reply.encode() == octets


@pytest.mark.parametrize(
    ("code", "accepts"), [(220, True), (354, True), (450, False), (554, False)]
)
def test_accepts(code: int, accepts: bool) -> None:
    assert Reply(code, ("",)).accepts is accepts
