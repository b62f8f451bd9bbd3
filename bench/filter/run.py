"""A whole run of the filter's benchmark: what is measured, and the tables that come of it."""

from collections.abc import Callable

import msgspec

from bench.figures import Verdict
from bench.filter import beside, grid, postfix
from bench.filter.stand import Stand, stand
from bench.filter.targets import verdicts
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.report import FIGURES, Table, cells, number, targets_table

NAME = "filter"
SCENARIOS = (*grid.SIZES, "beside", "postfix")
NOTES = """\
One filter process, a load generator and a null sink, each a process of its own, on loopback.
Messages are PGP/MIME as a Delta Chat core sends them. *Connections*: one a message, as Postfix
makes them, or one for all messages of a sender. *Alone* is the same load straight into the sink,
right after it. Latency is from the connection (re-used: from MAIL) to the answer to the final dot.
CPU is that of the filter process a message, user and system. Peak is the most memory that was
resident under the load, over what was resident before the first message. KB and MB are powers of
ten. Through Postfix, 8 at a time, rates are the median of rounds taken in turns."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part takes, in seconds, and how often."""

    quick: bool
    case_seconds: float
    beside_seconds: float
    postfix_seconds: float
    postfix_rounds: int
    postfix_sizes: tuple[str, ...]


QUICK = Plan(
    quick=True,
    case_seconds=1.5,
    beside_seconds=3,
    postfix_seconds=2,
    postfix_rounds=3,
    postfix_sizes=("1.5KB",),
)
FULL = Plan(
    quick=False,
    case_seconds=2.5,
    beside_seconds=8,
    postfix_seconds=5,
    postfix_rounds=3,
    postfix_sizes=("1.5KB", "1MB"),
)


class Result(Measured, frozen=True, kw_only=True):
    """What a run has measured."""

    rows: list[grid.Row]
    beside: beside.Beside | None
    chains: list[postfix.Chain]

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        return verdicts(self.rows, self.beside, self.chains)

    def tables(self) -> list[Table]:
        """All that was measured, the targets first."""
        tables = [targets_table(self.verdicts())]
        if self.rows:
            tables.append(_grid_table(self.rows))
        if self.beside:
            tables.append(_beside_table(self.beside))
        if self.chains:
            tables.append(_postfix_table(self.chains))
        return tables


def run(plan: Plan, only: list[str], report: Callable[[str], None]) -> Result:
    """Measure the scenarios `only`, or all; `report` hears of each. Raises BenchProblem."""
    wanted = only or list(SCENARIOS)
    with stand() as place:
        rows = []
        sizes = [size for size in grid.SIZES if size in wanted]
        for case in grid.cases(sizes, plan.case_seconds, quick=plan.quick):
            report(f"{case.size}, {case.at_a_time} at a time, {_connections(case)}")
            rows.append(grid.measure(place, case))
        by = None
        if "beside" in wanted:
            report("a small message beside large ones")
            by = beside.measure(place, plan.beside_seconds)
        chains: list[postfix.Chain] = []
        not_run = ""
        if "postfix" in wanted:
            report("through Postfix")
            chains, not_run = _through_postfix(place, plan, insist=bool(only))
    return Result(
        rows=rows, beside=by, chains=chains, not_run=not_run and f"through Postfix: {not_run}"
    )


def _through_postfix(place: Stand, plan: Plan, *, insist: bool) -> tuple[list[postfix.Chain], str]:
    """The chains, or where they are not insisted on, why there is none."""
    why = postfix.obstacle()
    if why and insist:
        raise BenchProblem(why)
    if why:
        return [], why
    sizes = list(plan.postfix_sizes)
    return postfix.measure(place, sizes, plan.postfix_seconds, plan.postfix_rounds), ""


def _connections(case: grid.Case) -> str:
    return "re-used" if case.reuse else "one a message"


def _grid_table(rows: list[grid.Row]) -> Table:
    columns = ("size", "× at once", "connections", *FIGURES, "peak MB", "alone MB/s", "ratio")
    return Table(
        "Between generator and sink",
        columns,
        [
            [
                row.case.size,
                str(row.case.at_a_time),
                _connections(row.case),
                *cells(row.filtered),
                f"+{number(row.over_idle)}",
                number(row.alone.mb_per_s),
                number(row.ratio),
            ]
            for row in rows
        ],
    )


def _beside_table(measured: beside.Beside) -> Table:
    small, alone, large = measured.filtered, measured.alone, measured.large
    # What the filter spends is spent on both; only the rates and latencies are of either.
    rows = [
        ["1.5 KB", *cells(small)[:-1]],
        ["1.5 KB, straight into the sink", *cells(alone)[:-1]],
        ["the 30 MB that went by", *cells(large)[:-1]],
    ]
    return Table(
        "One small message at a time beside two senders of 30 MB", ("", *FIGURES[:-1]), rows
    )


def _postfix_table(chains: list[postfix.Chain]) -> Table:
    return Table(
        "Postfix → filter → Postfix, beside Postfix → pass-through proxy → Postfix",
        ("size", "through", *FIGURES, "ratio"),
        [
            [chain.size, name, *cells(postfix.middle(rounds)), ratio]
            for chain in chains
            for name, rounds, ratio in (
                ("the filter", chain.filtered, number(chain.ratio)),
                ("pass-through", chain.passed, ""),
            )
        ],
    )
