"""Fuzz target: armour, from its BEGIN line to its END line.

1. However the octets are cut, the verdict is the same.
2. No exception but Refusal.
3. What is accepted as strict is armour of allowed packets, octet for octet (the oracle).
4. What is accepted as strict is accepted as lenient too.
"""

from filtermail.gate.armour import armour
from tests.filtermail.gate import oracle
from tests.fuzz import messages
from tests.fuzz.choices import Choices
from tests.fuzz.feeding import same_verdict, to_grammar


def check(data: bytes) -> None:
    """Hold one input against the invariants."""
    choices = Choices(data)
    raw = choices.rarely()
    splitting = Choices(choices.octets(8))
    text = choices.rest() if raw else messages.mutated(choices, messages.armour(choices))
    strict = same_verdict(to_grammar(lambda read: armour(read, strict=True)), splitting, text)
    lenient = same_verdict(to_grammar(lambda read: armour(read, strict=False)), splitting, text)
    if strict.refusal is None:
        assert lenient.refusal is None
        end = b"-----END PGP MESSAGE-----\r\n"
        lines = text.removesuffix(end).split(b"\r\n")[:-1]
        assert b"".join(oracle.armour(lines)) + end == text
