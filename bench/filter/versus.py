"""This checkout's filter beside that of the base, in the same minutes of the same machine.

A round has a fresh process of each, because two processes with the same code differ by some
percent for as long as they live (hash seeds, memory layout). Within a round the generator loads
the two, and the sink alone, in turns of a fraction of a second.
"""

from statistics import median

import msgspec

from bench.base import HERE, Checkout
from bench.figures import Figures, Ratio, medians, ratio
from bench.filter.grid import COMPARED, SIZES, check_all_arrived, warm_up
from bench.filter.stand import Server, Stand, arrived

TURNS = {"1.5KB": 20, "100KB": 20, "1MB": 20, "30MB": 4}
"""Turns per round, an even number: short, so that a busy moment of the machine falls on all alike.

A turn has at least 8 messages; of 30 MB, these alone take a good part of a second.
"""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """One round of one filter. Memory is in MB."""

    figures: Figures
    idle: float
    """Resident memory before the first message."""
    peak: float
    """The most that was resident while the load went through."""


class Versus(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of one size, 8 at a time, one connection per message; an item per round."""

    size: str
    here: list[Passage]
    base: list[Passage]
    alone: list[Figures]
    """Straight into the sink."""

    @property
    def cpu(self) -> Ratio:
        """Processor time per message of this checkout, as a part of the base's."""
        return ratio(_cpu(self.here), _cpu(self.base))

    @property
    def of_sink(self) -> float:
        """The part of the sink's own throughput that this checkout leaves."""
        return typical(self.here).mb_per_s / medians(self.alone).mb_per_s


def typical(rounds: list[Passage]) -> Figures:
    """The median of each figure."""
    return medians([passage.figures for passage in rounds])


def idle(rounds: list[Passage]) -> float:
    """The median of resident memory before the first message, in MB."""
    return median(passage.idle for passage in rounds)


def over_idle(rounds: list[Passage]) -> float:
    """The most memory that the load took in any round, in MB over that at rest."""
    return max(passage.peak - passage.idle for passage in rounds)


def measure(stand: Stand, base: Checkout, size: str, seconds: float, rounds: int) -> Versus:
    """Load both with messages of a size, for `seconds` each in each of the `rounds`.

    Raises BenchProblem if a message was lost.
    """
    versus = Versus(size=size, here=[], base=[], alone=[])
    with stand.sink() as sink:
        for _ in range(rounds):
            _add_round(stand, sink, base, versus, seconds)
    return versus


def _add_round(stand: Stand, sink: Server, base: Checkout, versus: Versus, seconds: float) -> None:
    with stand.filter(sink.port, code=HERE) as here, stand.filter(sink.port, code=base) as there:
        idle = [tested.meter.resident() for tested in (here, there)]
        warm_up(stand, [here, there])
        before = arrived(sink)
        # The sink in the middle: with every second turn reversed, the filters' places are alike.
        filtered_here, alone, filtered_base = stand.load_in_turns(
            SIZES[versus.size],
            [here, sink, there],
            at_a_time=COMPARED,
            seconds=seconds,
            turns=TURNS[versus.size],
        )
        peak = [tested.meter.peak() for tested in (here, there)]
    filtered = (filtered_here, filtered_base)
    accepted = sum(figures.messages for figures in (*filtered, alone))
    check_all_arrived(sink, before, accepted, stand.letter(SIZES[versus.size]))
    for at, passages in enumerate((versus.here, versus.base)):
        passages.append(Passage(figures=filtered[at], idle=idle[at], peak=peak[at]))
    versus.alone.append(alone)


def _cpu(rounds: list[Passage]) -> list[float]:
    return [passage.figures.cpu_ms for passage in rounds]
