"""What the filter is to reach, one process on a machine of two cores."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from bench.figures import Target, Verdict
from bench.filter.beside import Beside
from bench.filter.grid import Row
from bench.filter.postfix import Chain

T = TypeVar("T")


def verdicts(rows: Iterable[Row], beside: Beside | None, chains: Iterable[Chain]) -> list[Verdict]:
    """Each target with its measurement, if this run had it.

    Sizes are measured 8 at a time, one connection a message.
    """
    eight = {row.case.size: row for row in rows if row.case.at_a_time == 8 and not row.case.reuse}
    small, middle, large = (eight.get(size) for size in ("1.5KB", "1MB", "30MB"))
    chain = next((chain for chain in chains if chain.size == "1.5KB"), None)
    any_row = next(iter(eight.values()), None)
    return [
        _at_most("CPU a message of 1.5 KB", "ms", 0.6, small, lambda row: row.filtered.cpu_ms),
        _at_most("p99 of 1.5 KB", "ms", 20, small, lambda row: row.filtered.p99_ms),
        _at_most("CPU a message of 1 MB", "ms", 4, middle, lambda row: row.filtered.cpu_ms),
        _at_most("CPU a message of 30 MB", "ms", 90, large, lambda row: row.filtered.cpu_ms),
        _at_least("MB/s of 30 MB, of the sink's alone", 1 / 3, large, lambda row: row.ratio),
        _at_most("peak of 8 × 30 MB over idle", "MB", 12, large, lambda row: row.over_idle),
        _at_most("idle memory", "MB", 30, any_row, lambda row: row.idle),
        _at_most(
            "p95 of 1.5 KB beside 2 × 30 MB", "ms", 30, beside, lambda both: both.filtered.p95_ms
        ),
        _at_least(
            "messages/s through Postfix, of pass-through's", 0.95, chain, lambda chain: chain.ratio
        ),
    ]


def _at_most(
    what: str, unit: str, limit: float, measured: T | None, figure: Callable[[T], float]
) -> Verdict:
    target = Target(what=what, unit=unit, at_most=limit)
    return Verdict(target=target, measured=None if measured is None else figure(measured))


def _at_least(what: str, limit: float, measured: T | None, figure: Callable[[T], float]) -> Verdict:
    target = Target(what=what, unit="", at_least=limit)
    return Verdict(target=target, measured=None if measured is None else figure(measured))
