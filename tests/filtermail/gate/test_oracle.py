"""The gate against its oracle: what it accepts can be made anew from tokens, octet for octet."""

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filtermail.gate.grammar import Direction
from tests.filtermail.gate import oracle
from tests.filtermail.gate.building import (
    CONTENT_TYPE,
    DATA_HEADERS,
    HEADERS,
    armoured,
    message,
    packet,
    partial_seipd,
    pkesk,
    seipd,
    seipd_body,
    skesk,
)
from tests.filtermail.gate.test_boiler_plate import BOTH_WAYS, INCOMING_ONLY
from tests.filtermail.gate.test_gate import ACCEPTED, REFUSED, SAMPLES, joining
from tests.fuzz.choices import Choices
from tests.fuzz.feeding import Verdict, same_verdict, stuffed, to_message
from tests.fuzz.messages import mutated

pytestmark = pytest.mark.slow


TEXT = b"the secret in clear\r\n"


def verdict_on(content: bytes, splitting: bytes = b"") -> Verdict:
    """The outgoing gate's, the same for several ways to cut the message."""
    wire = stuffed(content) + b".\r\n"
    return same_verdict(to_message(Direction.OUTGOING), Choices(splitting), wire)


def check(content: bytes, splitting: bytes = b"") -> bool:
    """Whether it is accepted; then it is made of tokens, and goes on as it should."""
    verdict = verdict_on(content, splitting)
    if verdict.refusal is not None:
        return False
    oracle.tokens(content)
    body = content.partition(b"\r\n\r\n")[2]
    assert verdict.out == oracle.cleansed(content) + stuffed(body)
    return True


FORMS = {
    **{name: message(**pieces) for name, pieces in {**ACCEPTED, **BOTH_WAYS}.items()},
    **{
        path.stem: path.read_bytes().replace(b"From:", b"X-From:", 1)
        for path in SAMPLES
        if path.stem != "unencrypted-chat-text"
    },
    "a request to join": joining(),
    "a request to join a group": joining(b"vg-request"),
}
FORMS = {
    name: content if b"\r\nFrom:" in content or content.startswith(b"From:")
    else b"From: <alice@relay.example>\r\n" + content
    for name, content in FORMS.items()
}  # fmt: skip


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_every_form_is_made_of_tokens(content: bytes) -> None:
    assert check(content)


@pytest.mark.parametrize("pieces", [*(p for p, _ in REFUSED.values()), *INCOMING_ONLY.values()])
def test_the_oracle_finds_by_itself_what_must_not_pass(pieces: dict[str, bytes]) -> None:
    with pytest.raises(oracle.Unaccounted):
        oracle.tokens(message(**pieces))


def in_boundary(boundary: bytes) -> bytes:
    return message().replace(b"limes", boundary)


def data_part(field: bytes) -> bytes:
    return message(data_headers=b"Content-Type: application/octet-stream" + field + b"\r\n")


TRICKS = {
    "a boundary that is the armour's beginning": in_boundary(b"---BEGIN PGP MESSAGE-----"),
    "a boundary that armour begins with": in_boundary(b"-"),
    "a boundary of the END line": in_boundary(b"---END"),
    "a boundary with a blank": in_boundary(b"li mes"),
    "a boundary that is folded": message(
        content_type=CONTENT_TYPE.replace(b'"limes"', b'"li\r\n mes"')
    ).replace(b"--limes", b"--li mes"),
    "a boundary with a quoted pair": message(content_type=CONTENT_TYPE.replace(b"lim", b"l\\im")),
    "a part's header in a thousand lines": data_part(b";" + b"\r\n " * 1000 + b"name=msg.asc"),
    "a part's header with an empty continuation": data_part(b";\r\n \r\n name=msg.asc"),
    "a part's header with much white space": data_part(b"; " + b" \t\t  \t" * 40 + b"name=msg.asc"),
    "a request to join whose type says more": joining().replace(
        b"boundary=", b'note="the secret in clear"; boundary='
    ),
    "two versions of MIME": message(headers=HEADERS + b"MIME-Version: 1.0\r\n"),
    "a version of MIME that says something": message(
        headers=HEADERS.replace(b"MIME-Version: 1.0", b"MIME-Version: the secret")
    ),
}


@pytest.mark.parametrize("content", TRICKS.values(), ids=TRICKS)
def test_tricks(content: bytes) -> None:
    """Each is something that two parsers could read in two ways, or room for more than tokens."""
    with pytest.raises(oracle.Unaccounted):
        oracle.tokens(content)
    assert verdict_on(content).refusal is not None


TWO_FAULTS = {
    "a bad packet, then bad base64": message(
        armour=armoured(packet(11, bytes(300))).replace(b"\r\n=vJ9s", b"\r\nAA AA\r\n=vJ9s")
    ),
    "bad base64, then a bad packet": message(
        armour=armoured(pkesk(6, 70) * 3 + packet(11, bytes(300))).replace(b"\r\nw", b"\r\n_w", 1)
    ),
    "too long a line with a sign": message(
        armour=armoured(seipd(2, 401)).replace(b"=vJ9s", b"=" + b"A" * 2000)
    ),
    "too long a line of base64": message(
        armour=armoured(seipd(2, 401)).replace(b"=vJ9s", b"A" * 2000)
    ),
    "text in both parts": message(version=TEXT, data_headers=DATA_HEADERS + b"X-Y: z\r\n"),
}


@pytest.mark.parametrize("content", TWO_FAULTS.values(), ids=TWO_FAULTS)
def test_of_two_faults_the_first_is_told_however_they_come(content: bytes) -> None:
    assert verdict_on(content).refusal is not None


SMALL = message(armour=armoured(pkesk(6, 70) + seipd(2, 50)))
CUT = {
    "accepted": SMALL,
    "a request to join": joining(),
    "with dots": message(armour=b".\r\n" + armoured(seipd(2, 50))),
    "text before": message(preamble=TEXT, armour=armoured(seipd(2, 50))),
    "text behind": SMALL + TEXT,
    "a bad packet, then bad base64": TWO_FAULTS["a bad packet, then bad base64"],
    "plain": HEADERS + b"\r\nhi\r\n..\r\n",
    "no headers": b"\r\n" + SMALL,
}


@pytest.mark.parametrize("content", CUT.values(), ids=CUT)
@pytest.mark.parametrize("direction", Direction)
def test_every_cut_in_two(content: bytes, direction: Direction) -> None:
    judged = to_message(direction)
    wire = stuffed(content) + b".\r\n"
    whole = judged([wire])
    for at in range(1, len(wire)):
        verdict = judged([wire[:at], wire[at:]])
        assert verdict.refusal == whole.refusal, at
        assert verdict.refusal is not None or verdict == whole


@pytest.mark.parametrize("line", [b".From: <mallory@relay.example>", b".: x", b"..Subject: hi"])
@pytest.mark.parametrize("direction", Direction)
def test_a_header_that_begins_with_a_dot_does_not_become_another_one(
    line: bytes, direction: Direction
) -> None:
    """Behind the relay the first dot of a wire's line is taken away (RFC 5321, 4.5.2)."""
    content = message(headers=HEADERS + line + b"\r\n")
    wire = stuffed(content) + b".\r\n"
    verdict = same_verdict(to_message(direction), Choices(b""), wire)
    assert verdict.refusal is None
    if direction is Direction.INCOMING:
        assert verdict.out + b".\r\n" == wire
    else:
        assert line not in verdict.out


# Packets by structure.

bodies = st.binary(max_size=60)
session_keys = st.one_of(
    st.builds(pkesk, st.sampled_from([3, 6, 7]), st.integers(13, 300)),
    st.builds(skesk, st.sampled_from([4, 5, 6])),
    st.builds(packet, st.sampled_from([1, 3]), bodies),
)
encrypted_data = st.one_of(
    st.builds(seipd, st.sampled_from([1, 2]), st.integers(30, 2000)),
    st.builds(lambda *chunks: partial_seipd(9, *chunks), st.integers(0, 11), st.integers(0, 11)),
    st.builds(packet, st.just(18), bodies),
)
packet_sequences = st.builds(
    lambda keys, data, rest: b"".join(keys) + data + rest,
    st.lists(session_keys, max_size=4), encrypted_data, st.sampled_from([b"", b"", b"", b"\0"]),
)  # fmt: skip
armours = st.builds(
    lambda packets, width, checksum: armoured(packets, width=width, checksum=checksum),
    packet_sequences, st.integers(1, 78), st.sampled_from([b"=vJ9s\r\n", b""]),
)  # fmt: skip
few_empties = st.integers(0, 5).map(lambda count: b"\r\n" * count)


@settings(max_examples=200, deadline=None)
@given(armours, few_empties, few_empties, st.binary(max_size=8))
def test_what_is_built_and_accepted_is_made_of_tokens(
    armour: bytes, before: bytes, after: bytes, splitting: bytes
) -> None:
    content = message(armour=armour, preamble=before, epilogue=after)
    if not check(content, splitting):
        with pytest.raises(oracle.Unaccounted):
            oracle.tokens(content)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(FORMS)), st.binary(min_size=8, max_size=40), st.binary(max_size=8))
def test_what_is_damaged_and_accepted_is_made_of_tokens(
    name: str, damage: bytes, splitting: bytes
) -> None:
    """Octets inserted, replaced, deleted, lines doubled, swapped, text spliced in, bits flipped."""
    content = mutated(Choices(b"\x05" + damage), FORMS[name])
    if content.endswith(b"\r\n") and len(content) < 20_000:
        check(content, splitting)


def flipped(content: bytes, at: int, bit: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 200), st.integers(0, 7), st.booleans())
def test_a_bit_of_the_packets_flipped(at: int, bit: int, partial: bool) -> None:
    """Refused by both, or taken by both: of packets the oracle and the gate know the same."""
    data = partial_seipd(9, 1) if partial else seipd_body_packet()
    packets = pkesk(6, 70) + skesk(4) + data
    content = message(armour=armoured(flipped(packets, at % len(packets), bit)))
    if not check(content):
        with pytest.raises(oracle.Unaccounted):
            oracle.tokens(content)


def seipd_body_packet() -> bytes:
    return packet(18, seipd_body(2, 60))


Splice = Callable[[bytes, int], bytes]
SPLICED: dict[str, tuple[Splice, int]] = {
    # What is done at a place, and at how many places of the body that makes no difference.
    "text": (lambda content, at: content[:at] + b"Hello" + content[at:], 0),
    "a line": (lambda content, at: content[:at] + b"\r\nHello\r\n" + content[at:], 0),
    # Around the empty lines before the three delimiters.
    "two line ends": (lambda content, at: content[:at] + b"\r\n\r\n" + content[at:], 8),
    # Before and behind the blanks in the headers of the parts.
    "a blank": (lambda content, at: content[:at] + b" " + content[at:], 12),
    "a bare LF": (lambda content, at: content[:at] + b"\n" + content[at:], 0),
    "NUL": (lambda content, at: content[:at] + b"\0" + content[at:], 0),
    "four octets less": (lambda content, at: content[:at] + content[at + 4 :], 0),
}


@pytest.mark.parametrize(("splice", "harmless"), SPLICED.values(), ids=SPLICED)
def test_at_every_place_of_the_body(splice: Splice, harmless: int) -> None:
    """Not a sample of places: all of them, in a body that is short."""
    content = message(armour=armoured(pkesk(6, 70) + seipd(2, 50)))
    places = range(content.index(b"\r\n\r\n") + 4, len(content) - 6)
    accepted = [at for at in places if check(splice(content, at), random.Random(at).randbytes(8))]
    assert len(accepted) == harmless
