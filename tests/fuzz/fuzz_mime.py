"""Fuzz target: the body of a PGP/MIME message and of a request to join, below given headers.

1. However the octets are cut, the verdict is the same.
2. No exception but Refusal.
3. What is accepted as strict is made of tokens, octet for octet (the oracle).
4. What is accepted as strict is accepted as lenient too.
"""

from filtermail.gate.mime import encrypted, join_request
from tests.filtermail.gate import oracle
from tests.filtermail.gate.building import CONTENT_TYPE, HEADERS
from tests.fuzz import messages
from tests.fuzz.choices import Choices
from tests.fuzz.feeding import same_verdict, to_grammar

BOUNDARY = b"limes"
_KIND = b"vc-request"
_JOINING = HEADERS + b"Secure-Join: " + _KIND + b"\r\nSecure-Join-Invitenumber: 7\r\n"


def check(data: bytes) -> None:
    """Hold one input against the invariants."""
    choices = Choices(data)
    raw = choices.rarely()
    splitting = Choices(choices.octets(8))
    body = choices.rest() if raw else messages.mutated(choices, messages.body(choices))
    strict = same_verdict(
        to_grammar(lambda r: encrypted(r, BOUNDARY, strict=True)), splitting, body
    )
    lenient = same_verdict(
        to_grammar(lambda r: encrypted(r, BOUNDARY, strict=False)), splitting, body
    )
    if strict.refusal is None:
        assert lenient.refusal is None
        oracle.tokens(HEADERS + CONTENT_TYPE + b"\r\n" + body)
    _check_joining(splitting, body, BOUNDARY, b"multipart/mixed; boundary=limes")
    _check_joining(splitting, body, None, b"text/plain")


def _check_joining(
    splitting: Choices, body: bytes, boundary: bytes | None, content_type: bytes
) -> None:
    grammar = to_grammar(lambda r: join_request(r, _KIND, boundary))
    if same_verdict(grammar, splitting, body).refusal is None:
        oracle.tokens(_JOINING + b"Content-Type: " + content_type + b"\r\n\r\n" + body)
