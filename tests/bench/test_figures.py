"""The statistics of a run."""

import pytest

from bench.figures import Target, Verdict, figures, medians, percentile, ratio


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([7.0], 99, 7.0),
        ([1.0, 2.0], 50, 1.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 50, 50.0),
        ([float(n) for n in range(1, 101)], 95, 95.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
        ([float(n) for n in range(1, 101)], 0, 1.0),
        ([float(n) for n in range(1, 12)], 95, 11.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == expected


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_load_is_summed_up_whatever_the_order_of_its_latencies() -> None:
    summed = figures([0.004, 0.001, 0.003, 0.002], size=500_000, seconds=0.5, cpu=0.02, own=0.1)
    assert summed.messages == 4
    assert summed.messages_per_s == 8
    assert summed.mb_per_s == 4
    assert (summed.p50_ms, summed.p95_ms, summed.p99_ms) == (2, 4, 4)
    assert summed.cpu_ms == 5
    assert summed.generator_share == 0.2


@pytest.mark.parametrize(
    ("target", "measured", "reached"),
    [
        (Target(what="", unit="", at_most=2), 2.0, True),
        (Target(what="", unit="", at_most=2), 2.1, False),
        (Target(what="", unit="", at_least=2), 2.0, True),
        (Target(what="", unit="", at_least=2), 1.9, False),
        (Target(what="", unit="", at_least=2), 0.0, False),
        (Target(what="", unit="", at_most=2), None, None),
    ],
)
def test_a_target_is_reached_at_its_limit(
    target: Target, measured: float | None, reached: bool | None
) -> None:
    assert Verdict(target=target, measured=measured).reached is reached


def test_medians_are_taken_figure_by_figure() -> None:
    rounds = [
        figures([0.001 * n] * 2, size=1, seconds=seconds, cpu=0.002, own=0)
        for n, seconds in ((1, 3.0), (2, 1.0), (9, 2.0))
    ]
    middle = medians(rounds)
    assert middle.p50_ms == pytest.approx(2)
    assert middle.messages_per_s == pytest.approx(1)
    assert middle.cpu_ms == pytest.approx(1)


def test_a_ratio_is_of_medians_and_its_range_of_rounds() -> None:
    compared = ratio([1.0, 2.0, 9.0], [4.0, 4.0, 3.0])
    assert compared == (0.5, 0.25, 3.0)


def test_rounds_without_a_counterpart_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])
