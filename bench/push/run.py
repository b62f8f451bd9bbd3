"""A whole run of the benchmark of push: what is measured, and the tables that come of it."""

import math
import os
from collections.abc import Callable, Sequence
from statistics import median_low
from typing import TypeVar

import msgspec

from bench.figures import Verdict, at_least, at_most, percentile
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.push import loads, sandbox
from bench.push.attack import Attacked, attacked
from bench.push.loads import LATENCY, Backlog, Failures, Pushed
from bench.report import Table, number, targets_table

T = TypeVar("T")

NAME = "push"
SCENARIOS = ("burst", "instant", "failures", "attack", "backlog", "sandbox")
NOTES = """\
One metadata process; a process of its own tells it of messages, 16 at a time, each on a connection
of its own as Dovecot's Lua does, and is the gateway as well, so that both have one clock. Tokens
have 300 octets. *To the gateway* is from the beginning of a SET to the request. CPU is that of the
service a push, its SET and all, user and system. *Burst*: the gateway answers in 50 ms; *instant*:
at once; *failures*: in 50 ms, and with 500 for the first try of each tenth token. *Backlog*: pushes
of three hours are owed when the service starts, nobody listens on the gateway's port for ten
seconds, then it answers 500 for ten, then it is well; from then on 50 new messages come a second.
Of the first three there are five rounds, taken in turns, each with a service of its own; a figure
is the median of theirs.
*Attack*: one user sets 32 fresh tokens that always fail, five times a second, with a message each;
others' messages come 20 a second, before and during it.
*Sandbox* is from SMTP's 250 to the request, through a real Postfix and Dovecot."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each."""

    burst: int
    instant: int
    attack: int
    owed: int
    sandbox: int
    rounds: int


QUICK = Plan(burst=1000, instant=1000, attack=200, owed=5000, sandbox=5, rounds=1)
FULL = Plan(burst=1000, instant=3000, attack=600, owed=100_000, sandbox=sandbox.MESSAGES, rounds=5)


class Result(Measured, frozen=True, kw_only=True):
    """What a run has measured."""

    burst: Pushed | None
    instant: Pushed | None
    failures: Failures | None
    attack: Attacked | None
    backlog: Backlog | None
    sandbox_s: list[float] | None
    """For each message, ascending."""

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        burst, instant, waited, failures = self.burst, self.instant, self.backlog, self.failures
        of_burst = failures if burst else None
        return [
            at_least("burst, pushes a second", 1200, burst, lambda m: m.pushes_per_s),
            at_most("burst, p95 to the gateway", 0.8, burst, lambda m: m.p95_s, "s"),
            at_least("burst, SETs a second", 2000, burst, lambda m: m.sets_per_s),
            at_least("instant, pushes a second", 1500, instant, lambda m: m.pushes_per_s),
            at_most("instant, CPU a push", 0.5, instant, lambda m: m.cpu_ms, "ms"),
            at_most(
                "failures, p95 of the others, of the burst's",
                1.2,
                of_burst,
                lambda m: m.others.p95_s / (burst.p95_s if burst else math.nan),
            ),
            at_most("failures, tries of those that failed", 2, failures, lambda m: m.tries),
            at_most(
                "attack, p95 of the others, of a quiet gateway's",
                1.2,
                self.attack,
                lambda m: m.attacked.p95_s / m.quiet.p95_s,
            ),
            at_most("backlog, memory", 60, waited, lambda m: m.peak_mb, "MB"),
            at_most("backlog, start", 3, waited, lambda m: m.start_s, "s"),
            at_most("backlog, p95 of new ones", 1, waited, lambda m: m.new_p95_s, "s"),
            at_most("sandbox, median", 0.1, self.sandbox_s, lambda m: percentile(m, 50), "s"),
        ]

    def tables(self) -> list[Table]:
        """All that was measured, the targets first."""
        rows = [
            [what, *_cells(pushed)]
            for what, pushed in (
                ("burst", self.burst),
                ("instant", self.instant),
                ("failures, the others", self.failures and self.failures.others),
                ("before an attack", self.attack and self.attack.quiet),
                ("during it, the others", self.attack and self.attack.attacked),
            )
            if pushed
        ]
        columns = ("", "pushes", "SETs/s", "pushes/s", "p50 ms", "p95 ms", "CPU ms")
        tables = [targets_table(self.verdicts()), Table("To the gateway", columns, rows)]
        if self.failures:
            tables.append(_failures_table(self.failures))
        if self.backlog:
            tables.append(_backlog_table(self.backlog))
        if self.sandbox_s:
            tables.append(_sandbox_table(self.sandbox_s))
        return tables


def run(plan: Plan, only: list[str], report: Callable[[str], None]) -> Result:
    """Measure the scenarios `only`, or all; `report` hears of each. Raises BenchProblem."""
    wanted = only or list(SCENARIOS)
    not_run = ""

    def measured(name: str, measure: Callable[[], T]) -> T | None:
        if name not in wanted:
            return None
        report(name)
        return measure()

    if "sandbox" in wanted and os.geteuid() != 0:
        not_run = "Postfix and Dovecot start as root only"
        if only:
            raise BenchProblem(not_run)
        wanted = [name for name in wanted if name != "sandbox"]
    rounds = [
        (
            measured("burst", lambda: loads.burst(plan.burst, LATENCY)),
            measured("instant", lambda: loads.burst(plan.instant, 0.0)),
            measured("failures", lambda: loads.failures(plan.burst)),
        )
        for _ in range(plan.rounds)
    ]
    bursts, instants, failing = zip(*rounds, strict=True)
    return Result(
        burst=_median(bursts),
        instant=_median(instants),
        failures=_median_of_failures(failing),
        attack=measured("attack", lambda: attacked(plan.attack)),
        backlog=measured("backlog", lambda: loads.backlog(plan.owed)),
        sandbox_s=measured("sandbox", lambda: sorted(sandbox.measure(plan.sandbox))),
        not_run=not_run and f"sandbox: {not_run}",
    )


def _median(rounds: Sequence[Pushed | None]) -> Pushed | None:
    """Each figure's median, None where nothing was measured."""
    measured = [each for each in rounds if each]
    if not measured:
        return None
    fields = Pushed.__struct_fields__
    return Pushed(**{name: median_low(getattr(each, name) for each in measured) for name in fields})


def _median_of_failures(rounds: Sequence[Failures | None]) -> Failures | None:
    measured = [each for each in rounds if each]
    others = _median([each.others for each in measured])
    if not others:
        return None
    return Failures(
        others=others,
        failed=measured[0].failed,
        tries=max(each.tries for each in measured),
        retry_p95_s=median_low(each.retry_p95_s for each in measured),
    )


def _failures_table(failures: Failures) -> Table:
    columns = ("", "pushes", "requests each", "p95 s to the second")
    row = ["failed at first", f"{failures.failed:,}", number(failures.tries)]
    return Table("Failures", columns, [[*row, number(failures.retry_p95_s)]])


def _backlog_table(waited: Backlog) -> Table:
    rows = [
        ["pushes owed", f"{waited.owed:,}"],
        ["start to first answer, s", number(waited.start_s)],
        ["memory while nobody listens, MB", number(waited.down_mb)],
        ["requests a second while it answers 500", number(waited.requests_per_s)],
        ["from well again to the first push, s", number(waited.back_s)],
        ["old ones a second, drained", number(waited.drain_per_s)],
        ["new ones meanwhile, p50 ms", number(waited.new_p50_s * 1e3)],
        ["new ones meanwhile, p95 ms", number(waited.new_p95_s * 1e3)],
        ["peak memory, MB", number(waited.peak_mb)],
    ]
    return Table("Backlog", ("", "measured"), rows)


def _sandbox_table(delays: list[float]) -> Table:
    columns = ("", "messages", "p50 ms", "p95 ms", "most ms")
    cells = [number(percentile(delays, percent) * 1e3) for percent in (50, 95, 100)]
    return Table("Sandbox", columns, [["from 250 to the request", str(len(delays)), *cells]])


def _cells(pushed: Pushed) -> list[str]:
    p = pushed
    times = (p.p50_s * 1e3, p.p95_s * 1e3, p.cpu_ms)
    return [f"{p.pushes:,}", *map(number, (p.sets_per_s, p.pushes_per_s, *times))]
