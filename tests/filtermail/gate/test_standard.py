"""The short way for standard messages: cores' mail goes it; it is no laxer than the grammar."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.filter import messages as benchmark
from filtermail.gate.content import content_type
from filtermail.gate.headers import Headers
from filtermail.gate.mime import encrypted
from filtermail.gate.reader import Machine, Reader
from filtermail.gate.standard import standard_body
from filtermail.gate.verdict import Refusal
from tests.filtermail.gate.building import armoured, message, partial_seipd, pkesk, seipd, skesk
from tests.filtermail.gate.test_boiler_plate import BOTH_WAYS, INCOMING_ONLY
from tests.filtermail.gate.test_gate import ACCEPTED, REFUSED, SAMPLES
from tests.fuzz.choices import Choices
from tests.fuzz.messages import mutated

STANDARD = [path for path in SAMPLES if b"multipart/encrypted" in path.read_bytes()]


def parts(content: bytes) -> tuple[bytes, bytes]:
    """A message's boundary and its body."""
    head, _, body = content.partition(b"\r\n\r\n")
    return content_type(Headers.parse(head + b"\r\n")).boundary(), body


def grammar_accepts(boundary: bytes, body: bytes) -> bool:
    reader = Reader()
    try:
        Machine(reader, encrypted(reader, boundary, strict=True)).whole(body)
    except Refusal:
        return False
    return True


@pytest.mark.parametrize("path", STANDARD, ids=lambda path: path.stem)
def test_captured_mail_goes_the_short_way(path: Path) -> None:
    assert standard_body(*parts(path.read_bytes()))


@pytest.mark.parametrize("size", [1536, 2000, 16384, 100_000])
def test_what_is_measured_goes_the_short_way(size: int) -> None:
    assert standard_body(*parts(benchmark.message(size)))


SHORT = {
    "as a core of today": {},
    "a passphrase": {"armour": armoured(skesk() + seipd())},
    "many recipients": {"armour": armoured(pkesk(6) * 25 + seipd())},
    "lines of 76": {"armour": armoured(seipd(size=3000), width=76)},
    "no checksum": {"armour": armoured(seipd(), checksum=b"")},
    "an old core": ACCEPTED["part headers of old cores"],
    **{
        f"padding of {size % 3}": {"armour": armoured(seipd(size=size))} for size in (400, 401, 402)
    },
    "a full last line": {"armour": armoured(seipd(size=90) + b"")},
}


@pytest.mark.parametrize("pieces", SHORT.values(), ids=SHORT)
def test_it_goes_the_short_way(pieces: dict[str, bytes]) -> None:
    assert standard_body(*parts(message(**pieces)))


LONG = {
    "partial lengths": {"armour": armoured(partial_seipd(9, 9))},
    "lines of 60": {"armour": armoured(seipd(size=3000), width=60)},
    "more session keys than are looked at": {"armour": armoured(pkesk(6) * 200 + seipd())},
    "too many session keys": {"armour": armoured(skesk() * 17 + seipd())},
    "bits behind the padding": {"armour": re.sub(rb".==", b"B==", armoured(seipd(size=402)))},
    "padding to excess": {"armour": armoured(seipd(), checksum=b"====\r\n=vJ9s\r\n")},
    "an empty line behind full ones": {
        "armour": armoured(seipd(size=48 * 4 - 6, seed=1), checksum=b"\r\n=vJ9s\r\n")
    },
    "an octet too many": {"armour": armoured(seipd() + b"\0")},
    "an octet too few": {"armour": armoured(seipd()[:-1])},
    "a session key that is cut": {"armour": armoured(b"\xc1\x60\x06")},
    "a packet of no length": {"armour": armoured(b"\xc1")},
    "no packets": {"armour": armoured(b"")},
    "two parts' boundary": {"closing": b"\r\n--other--\r\n"},
    "five empty lines": {"epilogue": b"\r\n" * 5},
}


@pytest.mark.parametrize("pieces", LONG.values(), ids=LONG)
def test_it_is_left_to_the_grammar(pieces: dict[str, bytes]) -> None:
    assert not standard_body(*parts(message(**pieces)))


FORMS = [
    message(**pieces)
    for pieces in [
        *ACCEPTED.values(), *(pieces for pieces, _ in REFUSED.values()), *SHORT.values(),
        *LONG.values(), *BOTH_WAYS.values(), *INCOMING_ONLY.values(),
    ]
]  # fmt: skip


def check(boundary: bytes, body: bytes) -> bool:
    """Return whether it went the short way; then the grammar accepts it."""
    standard = standard_body(boundary, body)
    assert not standard or grammar_accepts(boundary, body)
    return standard


@pytest.mark.parametrize("content", FORMS)
def test_no_form_is_accepted_that_the_grammar_refuses(content: bytes) -> None:
    check(b"limes", content.partition(b"\r\n\r\n")[2])


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FORMS), st.binary(min_size=8, max_size=40))
def test_no_damaged_form_is_accepted_that_the_grammar_refuses(form: bytes, damage: bytes) -> None:
    body = form.partition(b"\r\n\r\n")[2]
    check(b"limes", mutated(Choices(b"\x05" + damage), body))


@pytest.mark.parametrize("splice", [b"A", b"=", b"\r\n", b"\n", b" ", b"\0", b"Hello", b"--"])
def test_at_every_place(splice: bytes) -> None:
    """Not a sample of places: all of them, with something inserted and with an octet replaced."""
    boundary, body = parts(message(armour=armoured(pkesk(6, 70) + seipd(2, 57))))
    assert check(boundary, body)
    for at in range(len(body)):
        check(boundary, body[:at] + splice + body[at:])
        check(boundary, body[:at] + splice + body[at + 1 :])
        check(boundary, body[:at] + body[at + len(splice) :])


def test_every_bit_of_the_packets() -> None:
    packets = pkesk(6, 70) + skesk(4) + seipd(2, 52)
    accepted = 0
    for bit in range(8 * len(packets)):
        at, flip = bit // 8, 1 << bit % 8
        damaged = packets[:at] + bytes([packets[at] ^ flip]) + packets[at + 1 :]
        accepted += check(*parts(message(armour=armoured(damaged))))
    assert accepted > 400
