"""A whole run of the filter's benchmark."""

from collections.abc import Callable

import msgspec

from bench.base import Checkout, base_checkout
from bench.figures import Verdict
from bench.filter import beside, grid, postfix, tables, versus
from bench.filter.stand import Stand, stand
from bench.filter.targets import RATE_OF_PASS_THROUGH, verdicts
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.report import Table, targets_table

NAME = "filter"
SCENARIOS = (*grid.SIZES, "beside", "postfix")
NOTES = """\
One filter process, a load generator and a null sink, each a process of its own, on loopback.
Messages are PGP/MIME as a Delta Chat core sends them. *Base* is the commit named beside it, which
runs with the same interpreter and libraries. It, this checkout and the sink *alone* are loaded in
turns within each round, 8 messages at a time, one connection per message as Postfix makes them;
each round has fresh processes, figures are medians of the rounds, and *least* and *most* are the
ratios within one round. *Connections*: one per message, or one for all messages of a sender.
Latency is from the connection (re-used: from MAIL) to the answer to the final dot. CPU is that of
the filter process per message, user and system. Idle is its resident memory before the first
message. Peak is the most memory that was resident under the load, over idle; the most of the
rounds. KB and MB are powers of ten. Through Postfix there are 8 at a time, and the two proxies
are loaded in turns within each round."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part takes, in seconds, and how often."""

    quick: bool
    versus_seconds: float
    versus_rounds: int
    case_seconds: float
    beside_seconds: float
    postfix_seconds: float
    postfix_rounds: int


QUICK = Plan(
    quick=True,
    versus_seconds=0.5,
    versus_rounds=3,
    case_seconds=0,
    beside_seconds=1.5,
    postfix_seconds=1.0,
    postfix_rounds=3,
)
FULL = Plan(
    quick=False,
    versus_seconds=1.5,
    versus_rounds=9,
    case_seconds=1.0,
    beside_seconds=5,
    postfix_seconds=3,
    postfix_rounds=7,
)


class Result(Measured, frozen=True, kw_only=True):
    """What a run has measured."""

    base: str
    versus: list[versus.Versus]
    rows: list[grid.Row]
    beside: beside.Beside | None
    chains: list[postfix.Chain]

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        return verdicts(self.versus, self.beside, self.chains)

    def tables(self) -> list[Table]:
        """All that was measured, the targets first."""
        shown = [targets_table(self.verdicts())]
        if self.versus:
            shown += [tables.ratios(self.versus, self.base), tables.sides(self.versus, self.base)]
        if self.rows:
            shown.append(tables.grid(self.rows))
        if self.beside:
            shown.append(tables.beside(self.beside))
        if self.chains:
            shown.append(tables.postfix(self.chains))
        return shown


def run(plan: Plan, only: list[str], revision: str, report: Callable[[str], None]) -> Result:
    """Measure the scenarios `only`, or all, beside the commit `revision`.

    `report` receives the name of each part. Raises BenchProblem.
    """
    wanted = only or list(SCENARIOS)
    sizes = [size for size in grid.SIZES if size in wanted]
    base = base_checkout(revision)
    chains: list[postfix.Chain] = []
    not_run = ""
    with stand() as place:
        versuses = _versus(place, plan, base, sizes, report)
        rows = [] if plan.quick else _grid(place, plan, sizes, report)
        by = None
        if "beside" in wanted:
            report("a small message beside large ones")
            by = beside.measure(place, plan.beside_seconds)
        if "postfix" in wanted:
            report("through Postfix")
            chains, not_run = _through_postfix(place, plan, insist=bool(only))
    return Result(
        base=base.name, versus=versuses, rows=rows, beside=by, chains=chains, not_run=not_run
    )


def _versus(
    place: Stand, plan: Plan, base: Checkout, sizes: list[str], report: Callable[[str], None]
) -> list[versus.Versus]:
    results = []
    for size in sizes:
        report(f"{size}, beside the {base.name}")
        results.append(versus.measure(place, base, size, plan.versus_seconds, plan.versus_rounds))
    return results


def _grid(
    place: Stand, plan: Plan, sizes: list[str], report: Callable[[str], None]
) -> list[grid.Row]:
    rows = []
    for case in grid.cases(sizes, plan.case_seconds):
        report(f"{case.size}, {case.at_a_time} at a time, {tables.connections(case)}")
        rows.append(grid.measure(place, case))
    return rows


def _through_postfix(place: Stand, plan: Plan, *, insist: bool) -> tuple[list[postfix.Chain], str]:
    """The chains, or where they are not insisted on, why there is none."""
    why = postfix.obstacle()
    if why and insist:
        raise BenchProblem(why)
    if why:
        return [], f"through Postfix: {why}"
    sizes = list(RATE_OF_PASS_THROUGH)
    return postfix.measure(place, sizes, plan.postfix_seconds, plan.postfix_rounds), ""
