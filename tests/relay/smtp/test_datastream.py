"""Where DATA ends, and its dots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.datastream import DataStream, stuff


@pytest.mark.parametrize(
    ("wire", "content", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"a\r\n.\r\n", b"a\r\n", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
        (b"..a\r\n...\r\n.\r\n", b".a\r\n..\r\n", b""),
        (b".a\r\n.\r\n", b"a\r\n", b""),
        (b"a\n.\r\nb\r\n.\nc\r\n.\r\n", b"a\n.\r\nb\r\n\nc\r\n", b""),
        (b"a\r\r\n.\r\n", b"a\r\r\n", b""),
        (b"\r\n.\r\n.\r\n", b"\r\n", b".\r\n"),
    ],
)
def test_ends_and_dots(wire: bytes, content: bytes, rest: bytes) -> None:
    for step in (1, 2, 3, len(wire)):
        stream, got, passed = DataStream(), b"", b""
        for at in range(0, len(wire), step):
            piece = stream.feed(wire[at : at + step])
            got, passed = got + piece.content, passed + piece.wire
            if piece.ended:
                assert piece.rest + wire[at + step :] == rest
                break
        assert piece.ended
        assert got == content
        assert passed + b".\r\n" + rest == wire


@given(st.binary(), st.lists(st.integers(1, 9), min_size=1))
def test_stuffing_is_undone_however_it_is_split(content: bytes, steps: list[int]) -> None:
    content += b"\r\n"
    wire = stuff(content) + b".\r\n"
    stream, got, at, turn = DataStream(), b"", 0, 0
    while at < len(wire):
        step = steps[turn % len(steps)]
        piece = stream.feed(wire[at : at + step])
        got, at, turn = got + piece.content, at + step, turn + 1
    assert piece.ended
    assert got == content


def test_no_part_of_the_end_is_passed_on_early() -> None:
    stream = DataStream()
    assert stream.feed(b"a\r\n.\r").wire == b"a"
    assert stream.feed(b"x").wire == b"\r\n.\rx"
