"""Fuzz target: the gate, with a whole message.

1. However the wire's octets are cut, the verdict is the same, and, if it is a yes, what goes on.
2. No exception but Refusal, and that once.
3. An outgoing message that is accepted is made of tokens, octet for octet (the oracle).
4. What goes on is the header block as cleansed and the body as it came; incoming, all as it came.
5. In what goes out Python's own MIME parser sees the one author, and, in what is encrypted, two
   parts of the right types with nothing before, between or after them.
6. Work is linear in the octets: see tests/fuzz/work.py.
"""

from email import message_from_bytes
from email.message import Message

from filtermail.gate.grammar import Direction
from tests.filtermail.gate import oracle
from tests.filtermail.gate.building import SENDER
from tests.fuzz import messages
from tests.fuzz.choices import Choices
from tests.fuzz.feeding import same_verdict, stuffed, to_message
from tests.fuzz.work import check_work


def check(data: bytes) -> None:
    """Hold one input against the invariants."""
    choices = Choices(data)
    direction = choices.pick(list(Direction))
    raw = choices.rarely()
    splitting = Choices(choices.octets(8))
    content = choices.rest() if raw else messages.message(choices)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    wire = stuffed(content) + b".\r\n"
    verdict = same_verdict(to_message(direction), splitting, wire)
    check_work(wire, direction)
    if verdict.refusal is not None:
        assert 500 <= verdict.refusal.code < 560
    elif direction is Direction.INCOMING:
        assert verdict.out + b".\r\n" == wire
    else:
        oracle.tokens(content)
        body = stuffed(content.partition(b"\r\n\r\n")[2])
        assert verdict.out == oracle.cleansed(content) + body
        _check_second_reading(verdict.out)


def _check_second_reading(out: bytes) -> None:
    message = message_from_bytes(out)
    assert [str(author).lower() for author in message.get_all("From", [])] == [f"<{SENDER}>"]
    if message.get_content_type() != "multipart/encrypted":
        assert message["Secure-Join"], "accepted, but neither encrypted nor a request"
        return
    parts = message.get_payload()
    assert isinstance(parts, list)
    types = [part.get_content_type() for part in parts if isinstance(part, Message)]
    assert types == ["application/pgp-encrypted", "application/octet-stream"]
    preamble = (message.preamble or "").strip().encode()
    assert not preamble or [preamble] in oracle._SENTENCES
    assert not (message.epilogue or "").strip()
