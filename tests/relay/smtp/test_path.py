"""The argument of MAIL and RCPT."""

import pytest

from relay.address import InvalidAddress
from relay.smtp.path import parse_path

GOOD = [
    ("FROM:<a@b.example>", "a@b.example", "a@b.example", ()),
    ("from:  <A@B.example>", "A@B.example", "a@b.example", ()),
    ("FROM:<>", "", None, ()),
    ('FROM:<"a b"@c.example> SIZE=3  BODY=8bitmime ', '"a b"@c.example', '"a b"@c.example',
     ("SIZE=3", "BODY=8BITMIME")),
    ("FROM:<ä@ö.example> SMTPUTF8", "ä@ö.example", "ä@ö.example", ("SMTPUTF8",)),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "text", "address", "parameters"), GOOD)
def test_good(argument: str, text: str, address: str | None, parameters: tuple[str, ...]) -> None:
    path = parse_path("FROM:", argument)
    assert path.text == text
    assert (str(path.address) if path.address else None) == address
    assert path.parameters == parameters


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "FROM:",
        "FROM:a@b.example",
        "TO:<a@b.example>",
        "FROM:<a@b.example",
        "FROM:<a@b.example>SIZE=1",
        "FROM:<a>",
        "FROM:<a b@c.example>",
        "FROM:<@x.example:a@b.example>",
        'FROM:<"a\r\nRCPT"@b.example>',
        "FROM:<a@b.example>\r\nRCPT",
        "FROM:<\udcff@b.example>",
        "FROM:<postmaster>",
    ],
)
def test_bad(argument: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_path("FROM:", argument)


def test_postmaster_needs_no_domain() -> None:
    path = parse_path("TO:", "TO:<PostMaster>", postmaster="relay.example")
    assert path.text == "PostMaster"
    assert str(path.address) == "postmaster@relay.example"


@pytest.mark.parametrize(
    ("parameters", "size"),
    [("", 0), (" SIZE=10", 10), (" SIZE=1 SIZE=20", 20), (" SIZE=-1 SIZE=x SIZE= SIZE=²", 0)],
)  # fmt: skip
def test_size(parameters: str, size: int) -> None:
    assert parse_path("FROM:", f"FROM:<a@b.example>{parameters}").size == size
