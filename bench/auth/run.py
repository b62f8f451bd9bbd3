"""A whole run of doveauth's benchmark: what is measured, and the tables that come of it."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from bench.auth import logins
from bench.auth.asking import Answered, Load, ask
from bench.auth.stand import DOMAIN, PASSWORD, Stand, stand
from bench.figures import Verdict, at_least, at_most
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.report import Table, number, targets_table
from doveauth.hashing import hash_password, new_salt

T = TypeVar("T")

NAME = "auth"
SCENARIOS = ("lookups", "creations", "logins")
MANY = 64
"""Connections of a busy relay's Dovecot."""
NOTES = """\
One doveauth process; the generator is a process of its own on the same machine. *Lookups* are
passdb questions for existing accounts, over HTTP, each connection with one at a time. *Creations*
are first logins, 8 at a time; *one core* is the rate at which this machine hashes in one thread,
right before. Beside them, 400 lookups a second go on. *Logins* are IMAP logins of existing accounts
at a real Dovecot, 1,000 a minute, each on a connection of its own; between Dovecot and doveauth one
answer in twenty is held back for two seconds, and *others* are those that are not."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each."""

    accounts: int
    lookup_seconds: float
    creations: int
    logins: int


QUICK = Plan(accounts=500, lookup_seconds=2, creations=400, logins=150)
FULL = Plan(accounts=5000, lookup_seconds=8, creations=3000, logins=1000)


class Creations(msgspec.Struct, frozen=True, kw_only=True):
    """First logins, and the lookups beside them."""

    made: Answered
    one_core_per_s: float
    all_cores_per_s: float
    """Hashes alone, in as many threads as there are cores: no creation can be faster."""
    lookups: Answered


class Result(Measured, frozen=True, kw_only=True):
    """What a run has measured."""

    lookups: dict[int, Answered]
    """By connections."""
    cpu_us: dict[int, float]
    """Microseconds of doveauth's processor time a lookup, by connections."""
    creations: Creations | None
    logins: logins.Logins | None

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        many, one = self.lookups.get(MANY), self.lookups.get(1)
        made, through = self.creations, self.logins
        return [
            # Dovecot makes some 600 logins a second on two cores: five times that is plenty.
            at_least("lookups a second, 64 connections", 3_000, many, lambda m: m.per_s),
            at_most("p99 of them", 40, many, lambda m: m.p99_ms, "ms"),
            at_most("p99 of lookups, 1 connection", 1, one, lambda m: m.p99_ms, "ms"),
            at_least("creations a second", 300, made, lambda m: m.made.per_s),
            at_most("p99 of lookups beside", 20, made, lambda m: m.lookups.p99_ms, "ms"),
            at_most("p95 of logins beside slow ones", 50, through, lambda m: m.others.p95_ms, "ms"),
        ]

    def tables(self) -> list[Table]:
        """All that was measured, the targets first."""
        rows = [
            [
                f"lookups, {connections} at a time",
                *_cells(answered),
                number(self.cpu_us[connections]),
            ]
            for connections, answered in self.lookups.items()
        ]
        if self.creations:
            made = self.creations
            rows.append(["creations, 8 at a time", *_cells(made.made), ""])
            rows.append(["lookups beside creations", *_cells(made.lookups), ""])
            for what, rate in (
                ("hashes of one core, alone", made.one_core_per_s),
                ("hashes of all cores, alone", made.all_cores_per_s),
            ):
                rows.append([what, number(rate), "", "", "", ""])
        if self.logins:
            title = f"IMAP logins on Dovecot {self.logins.dovecot}"
            rows.append([f"{title}, the others", *_cells(self.logins.others), ""])
            rows.append([f"{title}, the slow ones", *_cells(self.logins.slow), ""])
        columns = ("", "a second", "p50 ms", "p95 ms", "p99 ms", "CPU µs")
        return [targets_table(self.verdicts()), Table("Questions and answers", columns, rows)]


def run(plan: Plan, only: list[str], report: Callable[[str], None]) -> Result:
    """Measure the scenarios `only`, or all; `report` hears of each. Raises BenchProblem."""
    wanted = only or list(SCENARIOS)
    lookups: dict[int, Answered] = {}
    cpu: dict[int, float] = {}
    creations, through, not_run = None, None, ""
    report("making accounts")
    with stand(plan.accounts) as place:
        if "lookups" in wanted:
            for connections in (MANY, 8, 1):
                report(f"lookups, {connections} at a time")
                lookups[connections], cpu[connections] = _lookups(place, plan, connections)
        if "creations" in wanted:
            report("creations")
            creations = _creations(place, plan)
        if "logins" in wanted:
            report("logins on Dovecot")
            if (not_run := logins.obstacle()) and only:
                raise BenchProblem(not_run)
            if not not_run:
                through = logins.measure(plan.logins)
    return Result(
        lookups=lookups,
        cpu_us=cpu,
        creations=creations,
        logins=through,
        not_run=not_run and f"logins on Dovecot: {not_run}",
    )


def _lookups(place: Stand, plan: Plan, connections: int) -> tuple[Answered, float]:
    load = Load(
        names=place.accounts,
        password=PASSWORD,
        connections=connections,
        seconds=plan.lookup_seconds,
    )
    with place.doveauth() as meter:
        before = meter.cpu()
        (answered,) = ask(place.lookups, [load])
        return answered, (meter.cpu() - before) / answered.answers * 1e6


def _creations(place: Stand, plan: Plan) -> Creations:
    one_core = _hashes_per_s(1, seconds=2.0)
    all_cores = _hashes_per_s(os.cpu_count() or 1, seconds=2.0)
    fresh = [f"f{number:08d}@{DOMAIN}" for number in range(plan.creations)]
    made = Load(names=fresh, password=PASSWORD, connections=8, seconds=600, endless=False)
    beside = Load(names=place.accounts, password=PASSWORD, connections=4, seconds=600, rate=400)
    with place.doveauth():
        answered = ask(place.lookups, [made, beside])
    return Creations(
        made=answered[0], one_core_per_s=one_core, all_cores_per_s=all_cores, lookups=answered[1]
    )


def _hashes_per_s(threads: int, seconds: float) -> float:
    end = time.perf_counter() + seconds

    def hashes() -> int:
        salt, count = new_salt(), 0
        while time.perf_counter() < end:
            hash_password(PASSWORD, salt)
            count += 1
        return count

    with ThreadPoolExecutor(threads) as executor:
        running = [executor.submit(hashes) for _ in range(threads)]
        return sum(each.result() for each in running) / seconds


def _cells(answered: Answered) -> list[str]:
    a = answered
    return [number(value) for value in (a.per_s, a.p50_ms, a.p95_ms, a.p99_ms)]
