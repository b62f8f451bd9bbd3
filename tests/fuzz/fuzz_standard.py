"""Fuzz target: the short way for standard messages against the grammar.

1. What the short way accepts, the grammar accepts as strict, and the oracle makes anew.
2. No exception.
"""

from filtermail.gate.mime import encrypted
from filtermail.gate.standard import standard_body
from tests.filtermail.gate import oracle
from tests.filtermail.gate.building import CONTENT_TYPE, HEADERS
from tests.fuzz import messages
from tests.fuzz.choices import Choices
from tests.fuzz.feeding import to_grammar

BOUNDARY = b"limes"


def check(data: bytes) -> None:
    """Hold one input against the invariants."""
    choices = Choices(data)
    raw = choices.rarely()
    body = choices.rest() if raw else messages.mutated(choices, messages.body(choices))
    if standard_body(BOUNDARY, body):
        judged = to_grammar(lambda read: encrypted(read, BOUNDARY, strict=True))
        assert judged([body]).refusal is None
        oracle.tokens(HEADERS + CONTENT_TYPE + b"\r\n" + body)
