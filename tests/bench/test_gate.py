"""The benchmark of the gate: small inputs, a short attack, and its tables."""

import pytest

from bench.filter.messages import END
from bench.gate.run import Cost, Result, costs
from bench.gate.shapes import SHAPES
from bench.gate.strangers import DEAREST, QUIET, Delay, delays
from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.trial import Trial


def silent(_part: str) -> None:
    """Nobody waits for a report here."""


def cost(times: float, longest: float = 1.0) -> Cost:
    return Cost(octets=1000, ms_per_mb=2.0, times_honest=times, longest_ms=longest)


def delay(longest: float) -> Delay:
    return Delay(messages=9, p50_ms=1.0, p95_ms=2.0, longest_ms=longest, attacks=7)


def result(worst: float, longest: float) -> Result:
    return Result(
        honest={"honest": cost(1)},
        shapes={"one": cost(2), "other": cost(worst, 9.5)},
        delays={QUIET: delay(3), "other": delay(longest)},
    )


def test_the_targets_are_of_the_worst() -> None:
    good, bad = result(4.9, 99), result(5.1, 101)
    assert [verdict.reached for verdict in good.verdicts()] == [True, True, True]
    assert [verdict.measured for verdict in good.verdicts()] == [4.9, 9.5, 99]
    assert [verdict.reached for verdict in bad.verdicts()] == [False, True, False]
    _, gate, beside = good.tables()
    assert gate.rows[-1] == ["other", "1,000", "2.00", "4.90", "9.50"]
    assert beside.rows[-1] == ["other", "9", "1.00", "2.00", "99.0", "7"]


@pytest.mark.slow
def test_each_shape_is_measured() -> None:
    honest, shapes = costs(silent, size=40_000, times=1)
    assert list(shapes) == list(SHAPES)
    assert all(
        one.octets > 0 and one.times_honest > 0 for one in (*honest.values(), *shapes.values())
    )


@pytest.mark.parametrize("what", DEAREST)
def test_the_shapes_of_a_stranger_are_accepted_to_the_end(what: str) -> None:
    """A refused one would be looked at up to its fault only."""
    trial = Trial(Envelope(None, ()), Direction.INCOMING, 10**6)
    trial.feed(SHAPES[what](100_000) + END)
    assert trial.ended


@pytest.mark.slow
def test_good_messages_pass_beside_a_stranger() -> None:
    measured = delays(silent, DEAREST[:1], seconds=0.3)
    assert list(measured) == [QUIET, "honest, 600,000", DEAREST[0]]
    for one in measured.values():
        assert one.messages > 0
        assert 0 < one.p50_ms <= one.p95_ms <= one.longest_ms
    assert measured[DEAREST[0]].attacks > 0
