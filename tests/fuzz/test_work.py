"""Work and memory are linear in a message, whatever its shape: twice the octets, twice the work.

Operations are counted (tests/fuzz/work.py), because time would depend on the machine. Only for the
insides of regular expressions, which nothing counts, there is a deadline; it is thousands of times
what they take, and a square of a header block's size is thousands of times the deadline.
"""

import contextlib
import gc
import signal
from collections.abc import Callable, Iterator

import pytest

from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.headers import MAX_BLOCK
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Refusal
from relay.address import Address
from tests.filtermail.gate.building import (
    CONTENT_TYPE,
    HEADERS,
    LIMIT,
    SENDER,
    armoured,
    judge,
    message,
    octets,
    packet,
    partial_seipd,
    pkesk,
    seipd,
    seipd_body,
    skesk,
)
from tests.fuzz.feeding import stuffed
from tests.fuzz.work import check_work, work
from tests.support import DEADLINE

pytestmark = pytest.mark.slow

BEGIN = b"-----BEGIN PGP MESSAGE-----\r\n\r\n"
QUOTED = (
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: quoted-printable\r\n"
)


def ragged(size: int) -> bytes:
    return BEGIN + b"".join(b"A" * (at % 61 + 16) + b"\r\n" for at in range(size // 40))


def small_chunks(size: int) -> bytes:
    return b"\xd2\xe9" + seipd_body(2, 508) + b"\xe0a" * (size // 2) + b"\0"


SHAPES: dict[str, Callable[[int], bytes]] = {
    "plain": lambda size: message(armour=armoured(seipd(size=size))),
    "lines of one": lambda size: message(armour=armoured(seipd(size=size), width=1)),
    "lines of 16": lambda size: message(armour=armoured(seipd(size=size), width=16)),
    "lines of any width": lambda size: message(armour=ragged(size)),
    "lines of 3": lambda size: message(armour=armoured(seipd(size=size), width=3)),
    "lines of nothing": lambda size: message(armour=BEGIN + b"\r\n" * size),
    "one line": lambda size: message(armour=BEGIN + b"A" * size),
    "dots": lambda size: message(armour=BEGIN + b".\r\n" * size),
    "chunks of one octet": lambda size: message(armour=armoured(small_chunks(size))),
    "chunks of 512": lambda size: message(armour=armoured(partial_seipd(*[9] * (size // 700 + 1)))),
    "keys of an unknown algorithm": lambda size: message(
        armour=armoured(packet(1, b"\6\0\x63" + octets(40)) * min(size // 60, 1100) + seipd())
    ),
    "many PKESK": lambda size: message(armour=armoured(pkesk(6, 60) * (size // 80) + seipd())),
    "many SKESK": lambda size: message(armour=armoured(skesk(4) * (size // 90) + seipd())),
    "empty lines at the end": lambda size: message(epilogue=b"\r\n" * size),
    "empty lines before": lambda size: message(preamble=b"\r\n" * size),
    "blank lines in a part's header": lambda size: message(
        data_headers=b"Content-Type: application/octet-stream;\r\n" + b" \r\n" * size
    ),
    "folds of a part's header": lambda size: message(
        data_headers=b"Content-Type: application/octet-stream" + b"\r\n ;" * size + b"\r\n"
    ),
    "a part's header without end": lambda size: message(
        data_headers=b"Content-Type: " + b"a" * size
    ),
    "many headers of a part": lambda size: message(data_headers=b"A: b\r\n" * size),
    "many headers of the armour": lambda size: message(
        armour=armoured(seipd(), headers=b"Comment: x\r\n" * size)
    ),
    "many headers": lambda size: message(headers=HEADERS + b"X: y\r\n" * (size // 6)),
    "a long header": lambda size: message(headers=HEADERS + b"X: " + b"y" * size + b"\r\n"),
    "a folded header": lambda size: message(headers=HEADERS + b"X: y" + b"\r\n z" * size + b"\r\n"),
    "quoted-printable": lambda size: message(
        data_headers=QUOTED, armour=armoured(seipd(size=size)).replace(b"=vJ", b"=3DvJ")
    ),
    "quoted-printable in lines of one": lambda size: message(
        data_headers=QUOTED, armour=armoured(seipd(size=size), width=1).replace(b"=", b"=3D")
    ),
    "quoted-printable in lines of 16": lambda size: message(
        data_headers=QUOTED, armour=armoured(seipd(size=size), width=16).replace(b"=", b"=3D")
    ),
    "all of it escaped": lambda size: message(
        data_headers=QUOTED, armour=BEGIN + (b"=41" * 24 + b"\r\n") * (size // 74)
    ),
    "empty fields": lambda size: message(headers=HEADERS + b"a:\r\n" * size),
    "soft line ends": lambda size: message(data_headers=QUOTED, armour=b"A=\r\n" * size),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(("size", "step"), [(20_000, 1000), (20_000, 4000), (1500, 1)])
def test_twice_the_octets_twice_the_work(
    shape: Callable[[int], bytes], direction: Direction, size: int, step: int
) -> None:
    once, twice = (stuffed(shape(octets)) + b".\r\n" for octets in (size, 2 * size))
    first, second = work(once, direction, step), work(twice, direction, step)
    # Half as much again for what is not the same in both; a square would be four times as much.
    growth = 1.5 * len(twice) / len(once)
    assert second.calls <= growth * first.calls + 2000
    assert second.octets <= growth * first.octets + 20 * step
    check_work(twice, direction, step)


def held(judged: Trial) -> int:
    """The octets that a message holds in memory, with all that hangs on it."""
    seen: set[int] = set()
    waiting: list[object] = [judged]
    total = 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type | Callable):
            continue
        seen.add(id(item))
        if isinstance(item, bytes | bytearray):
            total += len(item)
        elif type(item).__module__ != "builtins" or isinstance(
            item, dict | list | tuple | Iterator
        ):
            waiting.extend(gc.get_referents(item))
    return total


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("direction", Direction)
def test_no_more_is_held_than_a_header_block_and_a_line(
    shape: Callable[[int], bytes], direction: Direction
) -> None:
    step = 3001
    wire = stuffed(shape(100_000)) + b".\r\n"
    head = wire.index(b"\r\n\r\n")
    judged = Trial(Envelope(Address.parse(SENDER), ()), direction, LIMIT)
    for at in range(0, len(wire), step):
        with contextlib.suppress(Refusal):
            judged.feed(wire[at : at + step])
        most = 10_000 if at > head + 2 * step else min(at + step, MAX_BLOCK) + 20_000
        assert held(judged) <= most


@contextlib.contextmanager
def deadline() -> Iterator[None]:
    """Interrupt what goes on for ever; regular expressions look for signals now and then."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"not done after {DEADLINE} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


ROOM = MAX_BLOCK - 1000
REPEATED = [
    b" ", b"\t", b";", b" ;", b"; ", b"a", b"a=", b"a=b;", b'"', b'a="', b'a="b";', b"\\",
    b'\\"', b"(", b"<", b">", b"<a", b"@", b"a@", b"a.", b".", b",", b"\xc3\xa4", b"\r\n ",
    b"\r\n a",
]  # fmt: skip
BEGINNINGS = [
    b"From: ", b'From: "', b"From: a <", b"Content-Type: ", b"Content-Type: a/b",
    b"Content-Type: a/b;a=", b'Content-Type: a/b; a="', b"MIME-Version: 1.0",
    b"MIME-Version: 1.0 (", b"Secure-Join: ", b"Secure-Join-Invitenumber: ",
    b"Content-Transfer-Encoding: ", b"X", b"X: ",
]  # fmt: skip


@pytest.mark.parametrize("repeated", REPEATED)
@pytest.mark.parametrize("direction", Direction)
def test_no_header_value_takes_for_ever(repeated: bytes, direction: Direction) -> None:
    """Values as long as a header block may be, of what regular expressions could stumble over."""
    for beginning in BEGINNINGS:
        # In the place of the field of that name, which would be there twice.
        name = beginning.partition(b":")[0] + b":"
        lines = [*HEADERS.splitlines(keepends=True), CONTENT_TYPE]
        others = b"".join(line for line in lines if not line.startswith(name))
        for end in (b"", b"x", b"\x01", b'"', b">", b")"):
            value = repeated * (ROOM // len(repeated)) + end
            content = message(headers=others, content_type=beginning + value + b"\r\n")
            with deadline():
                judge(content, direction=direction)


@pytest.mark.parametrize("repeated", [b"a", b"=", b"=3", b"=3D", b" ", b"\t", b"-", b"\xff", b"A="])
@pytest.mark.parametrize("end", [b"", b"=", b"x", b"\x01", b" "])
def test_no_line_takes_for_ever(repeated: bytes, end: bytes) -> None:
    line = repeated * (990 // len(repeated)) + end + b"\r\n"
    with deadline():
        for pieces in (
            {"armour": BEGIN + line},
            {"armour": line, "data_headers": QUOTED},
            {"data_headers": b"Content-Type:" + line},
            {"armour": armoured(octets(9), headers=b"Comment: " + line)},
        ):
            for direction in Direction:
                judge(message(**pieces), direction=direction)
