"""Fuzz target: the sequence of packets.

1. However the octets are cut, and whether those of no interest are shown or only counted, the
   verdict is the same.
2. No exception but Refusal.
3. The walker accepts exactly what the oracle makes anew octet for octet: no more, no less.
"""

import pytest

from tests.filtermail.gate import oracle
from tests.fuzz import messages
from tests.fuzz.choices import Choices
from tests.fuzz.feeding import same_verdict, to_packets


def check(data: bytes) -> None:
    """Hold one input against the invariants."""
    choices = Choices(data)
    raw = choices.rarely()
    splitting = Choices(choices.octets(8))
    octets = choices.rest() if raw else messages.mutated(choices, messages.packets(choices))
    verdict = same_verdict(to_packets, splitting, octets)
    if verdict.refusal is None:
        assert b"".join(oracle.packets(octets)) == octets
    else:
        with pytest.raises(oracle.Unaccounted):
            list(oracle.packets(octets))
