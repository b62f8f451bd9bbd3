"""Header fields that leave: a closed list, each in a form that has no room for text."""

import re
from pathlib import Path

import pytest

from filtermail.gate.headers import Headers
from filtermail.gate.outgoing import FIELDS, leaves_unchanged
from tests.filtermail.gate.building import CONTENT_TYPE, HEADERS, judge, message
from tests.filtermail.gate.test_gate import SAMPLES

DOCS = Path(__file__).parents[3] / "docs"
SAMPLE_KEY = (
    b"xjMEawJ5nBYJKwYBBAHaRw8BAQdAN4RPdEvlaAsndcF/IZkMQAojvH8wvkp667gzo18vvu3CtAQfFggAZgUCawJ5nBYh"
)
NOTE = b"a whole letter, in the clear"


def left(line: bytes) -> bytes:
    """What leaves of this field, in place of the standard one of that name."""
    name = line.partition(b":")[0] + b":"
    others = [one for one in HEADERS.splitlines(keepends=True) if not one.startswith(name)]
    reply, out = judge(message(headers=b"".join(others) + line + b"\r\n"))
    assert reply is None
    block = out.partition(b"\r\n\r\n")[0] + b"\r\n"
    found = re.findall(rb"^" + name + rb".*\r\n(?:[ \t].*\r\n)*", block, re.MULTILINE)
    assert len(found) <= 1
    return found[0].removesuffix(b"\r\n") if found else b""


STAYS = [
    b'To: "hidden-recipients": ;',
    b"To: <bob@[127.0.0.1]>",
    b"To: <bob@relay.example>,\r\n <carol@relay.example>",
    b"Cc: <bob@[IPv6:2001:db8::1]>",
    b"Date: Mon, 16 Nov 2026 12:34:14 +0000",
    b"Message-ID: <c7899f36-7989-4cf4-81b8-1edebc963c2c@localhost>",
    b"Message-ID: <Mr.3gckbNy5bch.uK3Hd2Ws6-w@relay.example>",
    b"In-Reply-To: <Gr.abcdEFG-_1.9gf@relay.example>",
    b"References: <c7899f36@localhost>\r\n <CAK+x=1_b@mail.gmail.com>",
    b"Auto-Submitted: auto-generated",
    b"Auto-Submitted: auto-replied",
    b"Chat-Version: 1.0",
    b"Chat-Is-Post-Message: 1",
    b"Autocrypt: addr=alice@relay.example; prefer-encrypt=mutual;\r\n keydata="
    + SAMPLE_KEY[:68] + b"\r\n " + SAMPLE_KEY[68:],
    b"Secure-Join: vc-request",
    b"Secure-Join-Invitenumber: 76PjIxnL8XSx63zLg0ioUObJ",
]  # fmt: skip


@pytest.mark.parametrize("line", STAYS)
def test_what_cores_write_stays(line: bytes) -> None:
    assert left(line) == line


BECOMES = [
    (b"To: Bob <bob@relay.example>", b"To: <bob@relay.example>"),
    (b'To: "Meet me, at 9" <b@b.example>, c@c.example', b"To: <b@b.example>,\r\n <c@c.example>"),
    (b"To: bob@relay.example (meet me at nine)", b'To: "hidden-recipients": ;'),
    (b"To: meet me at nine", b'To: "hidden-recipients": ;'),
    (b"To: friends at nine: <bob@relay.example>;", b'To: "hidden-recipients": ;'),
    (b'To: "meet me at nine"@relay.example', b'To: "hidden-recipients": ;'),
    (b"To: undisclosed-recipients:;", b'To: "hidden-recipients": ;'),
    (b"To: " + b", ".join([b"b@c.de"] * 101), b'To: "hidden-recipients": ;'),
    (b"To: " + b"\r\n ".join([b"x" * 900] * 19) + b" <b@c.de>", b'To: "hidden-recipients": ;'),
    (b"To: " + b", ".join([b"b@c.de"] * 99), b"To: " + b",\r\n ".join([b"<b@c.de>"] * 99)),
    (
        b"Date: Mon, 16 Nov 2026 21:34:14 +0900 (Tokyo, my phone)",
        b"Date: Mon, 16 Nov 2026 12:34:14 +0000",
    ),
    (b"Date: 1 Jan 2026 00:30 +0100", b"Date: Wed, 31 Dec 2025 23:30:00 +0000"),
    (b"Date: Mon, 16 Nov 2026 12:34:14 GMT", b"Date: Mon, 16 Nov 2026 12:34:14 +0000"),
    (b"Subject: " + NOTE, b"Subject: [...]"),
    (b"MIME-Version: 1.0 (Mac OS X Mail 7.3)", b"MIME-Version: 1.0"),
    (b"References:" + b" <a@b>" * 50, b"References: " + b"\r\n ".join([b"<a@b>"] * 10)),
    (b"Auto-Submitted: Auto-Replied", b"Auto-Submitted: auto-replied"),
    (b"SECURE-JOIN: vc-request", b""),
    (
        b"Autocrypt: addr=alice@relay.example; keydata="
        + SAMPLE_KEY[:60] + b"\r\n " + SAMPLE_KEY[60:],
        b"Autocrypt: addr=alice@relay.example;\r\n keydata="
        + SAMPLE_KEY[:68] + b"\r\n " + SAMPLE_KEY[68:],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), BECOMES)
def test_it_is_written_anew(line: bytes, expected: bytes) -> None:
    assert left(line) == expected


DROPPED = [
    b"Chat-Note: " + NOTE,
    b"Chat-Group-Name: " + NOTE,
    b"Chat-Version: 1.0 " + NOTE,
    b"Chat-Is-Post-Message: yes",
    b"Chat-Disposition-Notification-To: alice@relay.example",
    b"Autocrypt-Gossip: addr=bob@relay.example; keydata=" + SAMPLE_KEY,
    b"Autocrypt-Setup-Message: v1",
    b"Autocrypt: addr=mallory@relay.example; keydata=" + SAMPLE_KEY,
    b"Autocrypt: addr=alice@relay.example; note=hi; keydata=" + SAMPLE_KEY,
    b"Autocrypt: addr=alice@relay.example; keydata=xYwhole+letter+in+the+clear+",
    b"Autocrypt: addr=alice@relay.example; keydata=aGVsbG8gd29ybGQsIGhlbGxv",
    b"Autocrypt: addr=alice@relay.example; keydata=" + b"\r\n ".join([b"xjME" * 19] * 500),
    b"Secure-Join-Foo: " + NOTE,
    b"Secure-Join: vc-auth-required",
    b"Secure-Join-Invitenumber: " + NOTE,
    b"List-Id: " + NOTE,
    b"List-Unsubscribe: <https://relay.example/" + b"x" * 99 + b">",
    b"List-Post: <mailto:a@relay.example>",
    b"Message-ID: " + NOTE,
    b"Message-ID: <" + b"x" * 201 + b"@localhost>",
    b"Message-ID: <a b@localhost>",
    b"In-Reply-To: the letter of <a@b>",
    b"References: " + b"\r\n ".join([b"<a@b.example>" * 60] * 11),
    b"References: <a@b> meet me at nine",
    b"Auto-Submitted: auto-generated; " + NOTE,
    b"Date: " + NOTE,
    b"Date: Mon, 99 Nov 2026 21:34:14 +0900",
    b"Date: Mon, 16 Nov 2026 21:34:14 +9900",
    b"Content-Transfer-Encoding-Note: " + NOTE,
    *(name + b": x" for name in [
        b"Received", b"Bcc", b"User-Agent", b"Reply-To", b"Sender", b"DKIM-Signature", b"X-Any",
        b"Resent-From", b"Organization", b"Content-Description", b"Keywords", b"Comments",
    ]),
]  # fmt: skip


@pytest.mark.parametrize("line", DROPPED)
def test_it_is_dropped(line: bytes) -> None:
    assert left(line) == b""


def test_of_two_fields_of_a_name_the_first_leaves() -> None:
    content = message(
        headers=HEADERS + b"To: <bob@relay.example>\r\nCC: a@b\r\ncc: c@d\r\n"
        b"Chat-Version: x\r\nChat-Version: 1.0\r\n"
    )
    _, out = judge(content)
    assert out.count(b"\r\nTo:") == 1
    assert b"\r\nCc: <a@b>\r\n" in out
    assert b"c@d" not in out
    # The second is not tried in the place of the first: a thousand of them would take long.
    assert b"Chat-Version" not in out


@pytest.mark.parametrize(
    "written",
    [
        b"Content-Type: Multipart/Encrypted;\t\tBoundary=limes ;"
        b'   protocol="APPLICATION/pgp-encrypted" ;',
        b'Content-Type:\r\n multipart/encrypted;\r\n boundary="limes";\r\n'
        b' protocol="application/PGP-encrypted"',
    ],
)
def test_the_type_is_written_anew(written: bytes) -> None:
    reply, out = judge(message(content_type=written + b"\r\n"))
    assert reply is None
    assert (
        b'\r\nContent-Type: multipart/encrypted; boundary="limes";\r\n'
        b' protocol="application/pgp-encrypted"\r\n\r\n'
    ) in out


def test_no_more_than_500_fields_2000_lines_and_lines_of_998() -> None:
    for headers, reason in (
        (b"a:\r\n" * 500, "more than 500 header fields"),
        (b"To: a@b\r\n" + b" \r\n" * 2000, "more than 2000 lines"),
        (b"X: " + b"y" * 996 + b"\r\n", "998 octets"),
    ):
        reply, _ = judge(message(headers=HEADERS + headers))
        assert reply is not None
        assert reply.code == 554
        assert reason in reply.lines[0]
    most = b"a:\r\n" * 480 + b"To: a@b\r\n" + b" \r\n" * 1480
    assert judge(message(headers=HEADERS + most))[0] is None
    assert judge(message(headers=HEADERS + b"X: " + b"y" * 995 + b"\r\n"))[0] is None


@pytest.mark.parametrize(
    "path",
    [path for path in SAMPLES if path.stem != "unencrypted-chat-text"],
    ids=lambda path: path.stem,
)
def test_captured_headers_leave_whole(path: Path) -> None:
    """Of what real cores write nothing is lost but the display name and the subject."""
    block = path.read_bytes().partition(b"\r\n\r\n")[0] + b"\r\n"
    author = re.findall(rb"^From:.*<(.+)>\r$", block, re.MULTILINE)[0]
    before = Headers.parse(block)
    after = Headers.parse(before.outgoing(author))
    for name in FIELDS:
        if name not in (b"from", b"subject"):
            values = [
                [re.sub(rb"\s", b"", value) for value in headers.all(name)]
                for headers in (before, after)
            ]
            assert values[0] == values[1], name
    assert after.outgoing(author) == after.unchanged()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_one_look_says_what_the_list_says(path: Path) -> None:
    block = path.read_bytes().partition(b"\r\n\r\n")[0] + b"\r\n"
    standard = b"hidden-recipients" in block and not path.stem.startswith("core")
    assert leaves_unchanged(block) == standard
    # A field that is not listed comes off by the long way; all others stay as they are.
    author = re.findall(rb"^From:.*<(.+)>\r$", block, re.MULTILINE)[0]
    if standard:
        assert Headers.parse(b"X-A: b\r\n" + block).outgoing(author) == block


def test_the_documented_fields_are_those_of_the_code() -> None:
    table = re.findall(
        r"^\| (`.+?) \| (.+?) \|", DOCS.joinpath("headers.md").read_text(), re.MULTILINE
    )
    leave = [names for names, what in table if not what.startswith("dropped")]
    documented = {name for names in leave for name in re.findall(r"`([A-Za-z-]+)`", names)}
    assert documented == {field.name.decode() for field in FIELDS.values()}
    assert CONTENT_TYPE
