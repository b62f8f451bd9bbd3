"""The figures of a run: rates, percentiles, medians, ratios, and verdicts on targets."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

T = TypeVar("T")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One load against one target. Sizes are in octets, MB are 10^6 of them."""

    messages: float
    """How many; the median of several rounds may lie between two numbers."""
    messages_per_s: float
    mb_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    """Processor time of the target per message."""
    generator_share: float
    """The part of one processor that the generator used; near 1, the generator was the limit."""


def figures(
    latencies: Iterable[float], size: int, seconds: float, cpu: float, own: float
) -> Figures:
    """Sum up messages of `size` octets that took `seconds` in all.

    `latencies`, `cpu` (of the target) and `own` (of the generator) are in seconds.
    Raises ValueError where there was no message.
    """
    ordered = sorted(latencies)
    count = len(ordered)
    return Figures(
        messages=count,
        messages_per_s=count / seconds,
        mb_per_s=count * size / seconds / 1e6,
        p50_ms=percentile(ordered, 50) * 1e3,
        p95_ms=percentile(ordered, 95) * 1e3,
        p99_ms=percentile(ordered, 99) * 1e3,
        cpu_ms=cpu / count * 1e3,
        generator_share=own / seconds,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the least value that `percent` of the values do not exceed (nearest rank).

    `ordered` ascends. Raises ValueError where it is empty.
    """
    if not ordered:
        raise ValueError("no values")
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def medians(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure over rounds of one load.

    Raises statistics.StatisticsError where there is no round.
    """
    columns = zip(*(msgspec.structs.astuple(figures) for figures in rounds), strict=True)
    values = dict(zip(Figures.__struct_fields__, map(statistics.median, columns), strict=True))
    return Figures(**values)


class Ratio(NamedTuple):
    """How one series of rounds compares with another that was measured in turns with it."""

    of_medians: float
    least: float
    """The least ratio within one round."""
    most: float
    """The greatest ratio within one round."""


def ratio(these: Sequence[float], those: Sequence[float]) -> Ratio:
    """Compare `these` with `those`, a value per round each.

    Raises ValueError unless both have as many rounds, and at least one.
    """
    pairs = [this / that for this, that in zip(these, those, strict=True)]
    return Ratio(statistics.median(these) / statistics.median(those), min(pairs), max(pairs))


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A figure to reach: at most, or at least, a limit."""

    what: str
    unit: str
    at_most: float | None = None
    at_least: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A target and the measured value, or None if it was not measured."""

    target: Target
    measured: float | None

    @property
    def reached(self) -> bool | None:
        """True if the target is reached, None if nothing was measured."""
        if self.measured is None:
            return None
        target = self.target
        return (target.at_most is None or self.measured <= target.at_most) and (
            target.at_least is None or self.measured >= target.at_least
        )


def at_least(
    what: str, limit: float, measured: T | None, figure: Callable[[T], float], unit: str = ""
) -> Verdict:
    """Return the verdict on a `figure` of `measured`, which is None if this run left it out."""
    target = Target(what=what, unit=unit, at_least=limit)
    return Verdict(target=target, measured=None if measured is None else figure(measured))


def at_most(
    what: str, limit: float, measured: T | None, figure: Callable[[T], float], unit: str = ""
) -> Verdict:
    """Return the verdict on a `figure` of `measured`, which is None if this run left it out."""
    target = Target(what=what, unit=unit, at_most=limit)
    return Verdict(target=target, measured=None if measured is None else figure(measured))
