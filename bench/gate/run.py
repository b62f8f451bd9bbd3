"""A whole run of the gate's benchmark: processor time per octet, the longest step, delays."""

import contextlib
import time
from collections.abc import Callable
from statistics import median

import msgspec

from bench.figures import Verdict, at_most
from bench.filter.messages import END, SENDER, message
from bench.gate.shapes import SHAPES
from bench.gate.strangers import Delay, delays
from bench.measured import Measured
from bench.report import Table, number, targets_table
from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.trial import Trial
from filtermail.gate.verdict import Refusal
from relay.address import Address
from relay.smtp.server import CHUNK

NAME = "gate"
NOTES = """\
The gate alone, in this process, fed the wire form of messages in the pieces that the daemon reads,
of 32 KB, once as mail from outside and once as mail of a user: the dearer counts. The measure is an
honest message of as many octets, judged in turns with it: the worst input should cost at most five
times as much processor time. A refused message is fed up to the piece that it is refused in, where
the daemon stops looking. Shapes of headers and session keys are as long as the bounds allow.

Then a whole filtermail, incoming, between senders and a null sink: a stranger sends one of the
dearest inputs on 30 connections, again and again, 18 MB at a time or as much as the bounds allow,
and a good message of 1.5 KB begins every 50 ms. Its delay is from the connection to the answer to
its dot. Generator, filter, sink and client share the machine's processors."""
SIZE = 500_000
_LEAST = 1400
"""Octets that an honest message has at least."""
_TIMES = 41
"""Each input is judged as often: the least time counts, and of ratios the median."""
_ENVELOPES = {
    Direction.INCOMING: Envelope(None, ()),
    Direction.OUTGOING: Envelope(Address.parse(SENDER), ()),
}


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one input costs."""

    octets: int
    ms_per_mb: float
    times_honest: float
    """How much an honest message of as many octets costs."""
    longest_ms: float


class Result(Measured, frozen=True, kw_only=True):
    """What a run has measured: for each shape the dearer direction."""

    honest: dict[str, Cost]
    shapes: dict[str, Cost]
    delays: dict[str, Delay]
    """Of a good message through a filtermail, beside nothing and beside each attack."""

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        costs = list(self.shapes.values())
        return [
            at_most(
                "times an honest message of the size",
                5,
                costs,
                lambda costs: max(cost.times_honest for cost in costs),
            ),
            at_most(
                "longest step",
                10,
                costs,
                lambda costs: max(cost.longest_ms for cost in costs),
                "ms",
            ),
            at_most(
                "longest delay of a good message beside an attack",
                100,
                list(self.delays.values()),
                lambda delays: max(delay.longest_ms for delay in delays),
                "ms",
            ),
        ]

    def tables(self) -> list[Table]:
        """All that was measured, the targets first."""
        rows = [
            [
                what,
                f"{cost.octets:,}",
                number(cost.ms_per_mb),
                number(cost.times_honest),
                number(cost.longest_ms),
            ]
            for what, cost in {**self.honest, **self.shapes}.items()
        ]
        columns = ("", "octets", "ms/MB", "× honest", "longest step, ms")
        beside = [
            [
                what,
                f"{delay.messages:,}",
                *map(number, (delay.p50_ms, delay.p95_ms, delay.longest_ms)),
                f"{delay.attacks:,}",
            ]
            for what, delay in self.delays.items()
        ]
        kinds = ("beside", "good messages", "p50 ms", "p95 ms", "longest ms", "others accepted")
        return [
            targets_table(self.verdicts()),
            Table("The gate alone", columns, rows),
            Table("A good message beside 30 connections of a stranger", kinds, beside),
        ]


def run(report: Callable[[str], None]) -> Result:
    """Measure all; `report` is called with the name of each part. Raises BenchProblem."""
    honest, shapes = costs(report)
    return Result(honest=honest, shapes=shapes, delays=delays(report))


def costs(
    report: Callable[[str], None], size: int = SIZE, times: int = _TIMES
) -> tuple[dict[str, Cost], dict[str, Cost]]:
    """What honest messages and each shape cost, of `size` octets or what the bounds allow."""

    def cost(what: str, content: bytes) -> Cost:
        report(what)
        return max(
            (_cost(content + END, direction, times) for direction in Direction),
            key=lambda one: one.times_honest,
        )

    honest = {f"honest, {octets:,}": cost("honest", message(octets)) for octets in (1536, size)}
    return honest, {what: cost(what, shape(size)) for what, shape in SHAPES.items()}


def _cost(wire: bytes, direction: Direction, times: int) -> Cost:
    """Judge a message and an honest one of as many octets in turns."""
    octets, _ = _judged(wire, direction)
    honest = message(max(octets, _LEAST)) + END
    rounds = [(_judged(wire, direction)[1], _judged(honest, direction)[1]) for _ in range(times)]
    spent = [(sum(steps), sum(measure)) for steps, measure in rounds]
    return Cost(
        octets=octets,
        ms_per_mb=min(one for one, _ in spent) * 1e9 / octets,
        # What else the machine does slows both of one round.
        times_honest=median(one / measure for one, measure in spent),
        longest_ms=min(max(steps) for steps, _ in rounds) * 1e3,
    )


def _judged(wire: bytes, direction: Direction) -> tuple[int, list[float]]:
    """Octets up to the verdict, and seconds of processor time of each step to it."""
    trial = Trial(_ENVELOPES[direction], direction, 10 * len(wire))
    steps, fed = [], 0
    with contextlib.suppress(Refusal):
        for at in range(0, len(wire), CHUNK):
            piece = wire[at : at + CHUNK]
            fed += len(piece)
            began = time.process_time()
            try:
                trial.feed(piece)
            finally:
                steps.append(time.process_time() - began)
    return fed, steps
