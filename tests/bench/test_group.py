"""The benchmark of a group chat."""

from bench.group.run import Chat


def chat(*receipts: float, deferred: int = 0) -> Chat:
    return Chat(messages=1, deferred=deferred, receipts=sorted(receipts))


def test_the_targets_are_of_the_slowest_and_of_what_was_put_off() -> None:
    good = chat(*[0.5] * 99, 0.9)
    assert [verdict.reached for verdict in good.verdicts()] == [True, True]
    late = chat(*[0.5] * 98, 1.5, 1.5, deferred=1)
    assert [verdict.reached for verdict in late.verdicts()] == [False, False]


def test_percentiles_are_of_what_was_measured() -> None:
    ten = chat(*(float(second) for second in range(10)))
    assert [ten.percentile(percent) for percent in (0, 50, 99, 100)] == [0, 5, 9, 9]
    (targets, figures) = ten.tables()
    assert figures.rows == [["1", "10", "0", "5.00", "9.00", "9.00", "9.00"]]
    assert targets.rows
