"""The filter between generator and null sink, and the same load straight into the sink."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.figures import Figures
from bench.filter.stand import Server, Stand, arrived
from bench.problem import BenchProblem

SIZES = {"1.5KB": 1_500, "100KB": 100_000, "1MB": 1_000_000, "30MB": 30_000_000}
AT_A_TIME = (1, 8, 32)
COMPARED = 8
"""How many at a time, one connection per message, the comparison with the base sends."""
_WARM_UP = {"at_a_time": 4, "seconds": 0.2}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One load: a size by its name, and how it is sent."""

    size: str
    at_a_time: int
    reuse: bool
    seconds: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A load through the filter, and straight into the sink. Memory is in MB."""

    case: Case
    filtered: Figures
    alone: Figures
    idle: float
    """The filter's resident memory before its first message."""
    peak: float
    """The most that was resident while the load went through."""

    @property
    def over_idle(self) -> float:
        """How much memory the load took, at its peak."""
        return self.peak - self.idle

    @property
    def ratio(self) -> float:
        """The part of the sink's own throughput that is left."""
        return self.filtered.mb_per_s / self.alone.mb_per_s


def cases(sizes: list[str], seconds: float) -> Iterator[Case]:
    """The loads of a run, but for those that the comparison with the base has."""
    for size in sizes:
        for reuse in (False, True):
            for at_a_time in AT_A_TIME:
                if reuse or at_a_time != COMPARED:
                    yield Case(size=size, at_a_time=at_a_time, reuse=reuse, seconds=seconds)


def measure(stand: Stand, case: Case) -> Row:
    """Carry out one case with a filter of its own; raises BenchProblem if a message was lost."""
    size = SIZES[case.size]
    options = {"at_a_time": case.at_a_time, "reuse": case.reuse, "seconds": case.seconds}
    with stand.sink() as sink, stand.filter(sink.port) as tested:
        idle = tested.meter.resident()
        warm_up(stand, [tested])
        before = arrived(sink)
        filtered = stand.load(size, tested, **options)
        peak = tested.meter.peak()
        check_all_arrived(sink, before, filtered.messages, stand.letter(size))
        alone = stand.load(size, sink, **options)
    return Row(case=case, filtered=filtered, alone=alone, idle=idle, peak=peak)


def warm_up(stand: Stand, filters: Sequence[Server]) -> None:
    """Have filters run their code once; their peak memory counts from here."""
    stand.load_in_turns(SIZES["1.5KB"], filters, **_WARM_UP)
    for tested in filters:
        tested.meter.reset_peak()


def check_all_arrived(sink: Server, before: tuple[int, int], accepted: float, letter: Path) -> None:
    """Raise BenchProblem unless every accepted message is in the sink, whole, once."""
    octets = letter.stat().st_size
    messages, total = (now - then for now, then in zip(arrived(sink), before, strict=True))
    if (messages, total) != (accepted, accepted * octets):
        raise BenchProblem(
            f"{accepted} messages of {octets} octets were accepted, "
            f"but {messages} of {total} octets in all have arrived"
        )
