"""A whole run of the gate's benchmark: processor time per octet, and the longest single step."""

import contextlib
import time
from collections.abc import Callable

import msgspec

from bench.figures import Target, Verdict
from bench.filter.messages import END, message
from bench.gate.shapes import SHAPES
from bench.measured import Measured
from bench.report import Table, number, targets_table
from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Refusal

NAME = "gate"
NOTES = """\
The gate alone, in this process, fed the wire form of incoming messages of about 500 KB in pieces of
16 KB. An honest message of the same size is the measure: the worst input should cost at most five
times as much processor time per octet. A refused one is fed up to its refusal, which is when the
daemon stops looking; where that comes at the first octets, little is counted."""
_SIZE = 500_000
_PIECE = 16 * 1024
_TIMES = 7
"""Each input is judged as often; the least time counts."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one input costs."""

    octets: int
    ms_per_mb: float
    longest_ms: float


class Result(Measured, frozen=True, kw_only=True):
    """What a run has measured."""

    honest: Cost
    small: Cost
    """An honest message of 1.5 KB, for comparison: most messages are such."""
    shapes: dict[str, Cost]

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        ratio = max(cost.ms_per_mb for cost in self.shapes.values()) / self.honest.ms_per_mb
        longest = max(cost.longest_ms for cost in self.shapes.values())
        return [
            Verdict(
                target=Target(what="times an honest message, per octet", unit="", at_most=5),
                measured=ratio,
            ),
            Verdict(target=Target(what="longest step", unit="ms", at_most=10), measured=longest),
        ]

    def tables(self) -> list[Table]:
        """All that was measured, the targets first."""
        costs = {"honest": self.honest, "honest, 1.5 KB": self.small, **self.shapes}
        rows = [
            [
                what,
                f"{cost.octets:,}",
                number(cost.ms_per_mb),
                number(cost.ms_per_mb / self.honest.ms_per_mb),
                number(cost.longest_ms),
            ]
            for what, cost in costs.items()
        ]
        columns = ("", "octets", "ms/MB", "× honest", "longest step, ms")
        return [targets_table(self.verdicts()), Table("The gate alone", columns, rows)]


def run(report: Callable[[str], None]) -> Result:
    """Measure; `report` is called with the name of each input."""

    def cost(what: str, content: bytes) -> Cost:
        report(what)
        return min((_judged(content + END) for _ in range(_TIMES)), key=lambda one: one.ms_per_mb)

    return Result(
        honest=cost("an honest message", message(_SIZE)),
        small=cost("a small one", message(1536)),
        shapes={what: cost(what, shape(_SIZE)) for what, shape in SHAPES.items()},
    )


def _judged(wire: bytes) -> Cost:
    trial = Trial(Envelope(None, ()), Direction.INCOMING, 10 * _SIZE)
    steps, fed = [], 0
    with contextlib.suppress(Refusal):
        for at in range(0, len(wire), _PIECE):
            piece = wire[at : at + _PIECE]
            fed += len(piece)
            began = time.process_time()
            try:
                trial.feed(piece)
            finally:
                steps.append(time.process_time() - began)
    return Cost(octets=fed, ms_per_mb=sum(steps) * 1e3 / fed * 1e6, longest_ms=max(steps) * 1e3)
