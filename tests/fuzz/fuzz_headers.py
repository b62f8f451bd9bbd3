"""Fuzz target: a header block, its author and its Content-Type.

1. A block that is read is its fields, octet for octet; another one raises Refusal, nothing else.
2. What goes out has only fields that may, once cleansed stays as it is, and names the same author.
3. The author of what goes out is the same one for Python's own parser.
4. A Content-Type that is read, and its boundary, says the same to Python's own parser.
"""

import contextlib
from email import message_from_bytes
from email.utils import getaddresses

from filtermail.gate.content import author, author_text, content_type
from filtermail.gate.headers import Headers
from filtermail.gate.verdict import Refusal
from tests.filtermail.gate import oracle
from tests.filtermail.gate.building import CONTENT_TYPE, HEADERS
from tests.fuzz import messages
from tests.fuzz.choices import Choices

READS_LITERALS = getaddresses(["<a@[192.0.2.7]>"]) == [("", "a@[192.0.2.7]")]
_FROM = (
    b"alice@relay.example", b"<alice@relay.example>", b'"A, \\"B\\" <c@d>" <alice@relay.example>',
    b"Alice\r\n <alice@relay.example>", b"=?utf-8?q?a=40b?= <alice@relay.example>",
    b"alice@relay.example, <bob@relay.example>", b"a: <alice@relay.example>;", b"(x) <a@b.example>",
    b"\xc3\x84 <\xc3\xa4@b.example>", b"<alice@[192.0.2.7]>", b'"al ice"@relay.example',
)  # fmt: skip


_KEY = b"keydata=xjMEawJ5nBYJKwYBBAHaRw8BAQdAN4RPdEvlaAsndcF/IZkM\r\n QAojvH8wvkp667gzo18vvu8=\r\n"
_OTHERS = (
    b"To: bob@relay.example, \"C, d\" <c@[192.0.2.7]>\r\n",
    b"Cc: <a@b.example>,\r\n <b@c.example>\r\n",
    b"To: friends: a@b.example;\r\n", b"Date: Mon, 16 Nov 2026 21:34:14 +0900 (Tokyo)\r\n",
    b"References: <a@b>\r\n <c.d@[192.0.2.7]><e=f@g>\r\n", b"In-Reply-To: <a@b> <c@d>\r\n",
    b"Autocrypt: addr=alice@relay.example; prefer-encrypt=mutual; " + _KEY,
    b"Autocrypt: addr=alice@relay.example; " + _KEY, b"Auto-Submitted: Auto-Replied\r\n",
    b"Chat-Version: 1.0\r\n", b"Chat-Is-Post-Message: 1\r\n", b"Secure-Join: VC-request\r\n",
    b"Secure-Join-Invitenumber: a_-9\r\n", b"Message-ID: <a=b?@localhost>\r\n",
)  # fmt: skip


def check(data: bytes) -> None:
    """Hold one input against the invariants."""
    choices = Choices(data)
    raw = choices.rarely()
    block = choices.rest() if raw else messages.mutated(choices, _block(choices))
    try:
        headers = Headers.parse(block)
    except Refusal:
        return
    assert headers.unchanged() == block
    _check_author(headers, block)
    _check_content_type(headers, block)


def _block(choices: Choices) -> bytes:
    content_type = messages.mutated(choices, choices.pick([CONTENT_TYPE, b"Content-Type: a/b\r\n"]))
    author = messages.mutated(choices, b"From: " + choices.pick(_FROM) + b"\r\n")
    others = messages.mutated(
        choices, choices.pick([b"", *_OTHERS]) + choices.pick([b"", *_OTHERS])
    )
    # Of two fields of one name the first leaves: what is tried comes before what is plain.
    return author + others + HEADERS.partition(b"\r\n")[2] + content_type


def _check_author(headers: Headers, block: bytes) -> None:
    try:
        address, text = author(headers), author_text(headers)
    except Refusal:
        return
    out = headers.outgoing(text)
    assert out == oracle.cleansed(block + b"\r\n")[:-2]
    again = Headers.parse(out)
    assert author(again) == address
    assert again.outgoing(author_text(again)) == out
    # Python's parser reads no address literals before 3.11.4, and nothing beyond ASCII.
    if text.isascii() and (b"[" not in text or READS_LITERALS):
        assert getaddresses([str(message_from_bytes(out)["From"])]) == [("", text.decode())]


def _check_content_type(headers: Headers, block: bytes) -> None:
    try:
        read = content_type(headers)
    except Refusal:
        return
    other = message_from_bytes(block)
    if "/" in other.get_content_type() and read.media.count(b"/") == 1:
        assert other.get_content_type().encode() == read.media
    with contextlib.suppress(Refusal):
        boundary = read.boundary()
        # One with blanks may be folded at them; the gate's target has that.
        assert b" " in boundary or (other.get_boundary() or "").encode() == boundary
