"""What the filter is to reach, one process on a machine of two cores."""

from collections.abc import Iterable

from bench.figures import Verdict, at_least, at_most
from bench.filter.beside import Beside
from bench.filter.postfix import Chain
from bench.filter.versus import Versus, idle, over_idle, typical

CPU_OF_BASE = {"1.5KB": 0.40, "100KB": 0.45, "1MB": 0.65, "30MB": 0.9}
"""Processor time per message at most, as a part of the base's."""
RATE_OF_PASS_THROUGH = {"1.5KB": 0.98, "1MB": 0.97}
"""Messages per second through Postfix at least, as a part of the pass-through proxy's."""


def verdicts(
    versuses: Iterable[Versus], beside: Beside | None, chains: Iterable[Chain]
) -> list[Verdict]:
    """Each target with its measurement, if this run had it."""
    sizes = {versus.size: versus for versus in versuses}
    small, large = sizes.get("1.5KB"), sizes.get("30MB")
    through = {chain.size: chain for chain in chains}
    any_size = next(iter(sizes.values()), None)
    return [
        *(
            at_most(f"CPU of {size}, of the base's", limit, sizes.get(size), _cpu_of_base)
            for size, limit in CPU_OF_BASE.items()
        ),
        at_most("p99 of 1.5KB", 4, small, lambda v: typical(v.here).p99_ms, "ms"),
        at_most("idle memory", 26, any_size, lambda v: idle(v.here), "MB"),
        at_most("peak of 8 × 30MB over idle", 8, large, lambda v: over_idle(v.here), "MB"),
        at_least("MB/s of 30MB, of the sink's alone", 1 / 3, large, lambda v: v.of_sink),
        at_most(
            "p95 of 1.5KB beside 2 × 30MB", 30, beside, lambda both: both.filtered.p95_ms, "ms"
        ),
        *(
            at_least(f"{size}/s through Postfix, of pass-through's", limit, chain, _rate_ratio)
            for size, limit in RATE_OF_PASS_THROUGH.items()
            for chain in [through.get(size)]
        ),
    ]


def _cpu_of_base(versus: Versus) -> float:
    return versus.cpu.of_medians


def _rate_ratio(chain: Chain) -> float:
    return chain.ratio.of_medians
