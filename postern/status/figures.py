"""A daemon's figures, as its metrics socket reports them, made readable. Pure.

No names are known here: a figure is shown with its own help text. A histogram becomes its count
and its percentiles, computed from its buckets as Prometheus' `histogram_quantile` does: linearly
between the bounds.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

PERCENTILES = (50, 95, 99)
_ORDER = ("gauge", "counter", "histogram")


class NoFigures(ValueError):
    """The text is not what a metrics socket reports."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram: how many were observed, and the values below which given shares of them lie."""

    count: int
    percentiles: Mapping[int, float]
    """Infinite above the last bound; empty where nothing was observed."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One value, or one spread, with the labels that tell it from others of the name."""

    name: str
    help: str
    labels: Mapping[str, str]
    value: float | Spread
    is_count: bool = False
    """Whether it only grows while the daemon runs, from 0."""


def read(text: str) -> list[Figure]:
    """The figures in a metrics socket's answer: gauges, counters, histograms; raises NoFigures."""
    try:
        families = list(text_string_to_metric_families(text))
    except (ValueError, KeyError, IndexError) as error:
        raise NoFigures(str(error)) from None
    known = [family for family in families if family.type in _ORDER and not _is_birth(family)]
    known.sort(key=lambda family: _ORDER.index(family.type))
    return [figure for family in known for figure in _figures(family)]


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """The value below which a share (0 to 1) of the observations lies.

    `buckets` are upper bounds and how many were at most that, both rising, the last one infinite;
    at least one observation. Infinite where it lies above the last finite bound.
    """
    wanted = share * buckets[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > below:
            if math.isinf(bound):
                return bound
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return math.inf


def _is_birth(family: Metric) -> bool:
    """Whether it is only the time since when another is counted, which prometheus-client adds."""
    return family.type == "gauge" and family.name.endswith("_created")


def _figures(family: Metric) -> Iterable[Figure]:
    if family.type == "histogram":
        yield from _spreads(family)
        return
    for sample in family.samples:
        if not sample.name.endswith("_created"):
            yield Figure(
                family.name,
                family.documentation,
                sample.labels,
                sample.value,
                family.type == "counter",
            )


def _spreads(family: Metric) -> Iterable[Figure]:
    found: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for sample in family.samples:
        if sample.name == f"{family.name}_bucket":
            labels = dict(sample.labels)
            bound = float(labels.pop("le"))
            found.setdefault(tuple(labels.items()), []).append((bound, sample.value))
    for key, buckets in found.items():
        buckets.sort()
        count = int(buckets[-1][1])
        percentiles = {each: quantile(buckets, each / 100) for each in PERCENTILES if count}
        yield Figure(family.name, family.documentation, dict(key), Spread(count, percentiles))
