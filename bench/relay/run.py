"""A whole run of the benchmark `relay`."""

import os
from collections.abc import Callable

import msgspec
import uvloop

from bench.figures import Verdict, at_least, at_most
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.relay import logins, memory, settings
from bench.relay.load import Delivered, Load, deliver
from bench.relay.logins import Logins
from bench.relay.memory import Memory
from bench.relay.settings import Compared
from bench.relay.stand import relay
from bench.report import Table, number, targets_table
from sandbox.relay import Sandbox

NAME = "relay"
SCENARIOS = ("messages", "memory", "logins", "settings")
KEPT, NEW = "1.5 KB, kept connection", "1.5 KB, new connection"
LARGE, SLOW = "1 MB, kept connection", "1.5 KB, 5 messages/s"
CPU_OF_1_MB_BEFORE = 40.0
"""Milliseconds per message at commit 76bb6d1, which stored mail with gz."""
SMALLEST_SHARE = 0.005
"""Of a message's processor time: programs below it are shown together."""
NOTES = """\
A whole sandbox: Postfix, Dovecot and our daemons, on this machine's file system, beside the clients
that load it. Eight senders submit over TLS, authenticated, each to a receiver of its own whose
client waits in IDLE; a *kept* connection serves all messages of a sender. Rates are until the last
receiver has its last EXISTS, latency is from a message's 250 to the EXISTS that counts it. CPU is
that of all the relay's processes per message; *ended* are processes that nobody saw alive. Memory
is PSS. Logins are eight at a time, each on a TLS connection of its own. A *setting* is measured by
a relay that lacks it, loaded at the same time as the relay as it is; the ratio is that of its CPU
per message to the relay's own."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each."""

    loads: dict[str, Load]
    clients: tuple[int, ...]
    logins: int
    rounds: int


def plan(*, quick: bool) -> Plan:
    """A run of minutes, or one that is done in under two."""
    part = 4 if quick else 1

    def load(size: int, messages: int, kept: bool, per_s: float | None = None) -> Load:
        return Load(size=size, messages=messages // part, kept=kept, per_s=per_s)

    return Plan(
        loads={
            KEPT: load(1500, 2400, True),
            NEW: load(1500, 960, False),
            LARGE: load(1_000_000, 160, True),
            "1 MB, new connection": load(1_000_000, 160, False),
            SLOW: load(1500, 320, True, 5),
        },
        clients=(0, 100) if quick else (0, 100, 1000),
        logins=208 if quick else 808,
        rounds=0 if quick else 3,
    )


class Result(Measured, frozen=True, kw_only=True):
    """Everything that was measured; what was left out is empty."""

    messages: dict[str, Delivered]
    memory: list[Memory]
    logins: dict[str, Logins]
    settings: list[Compared]

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        kept, new = self.messages.get(KEPT), self.messages.get(NEW)
        slow, large = self.messages.get(SLOW), self.messages.get(LARGE)
        rest = next((each for each in self.memory if not each.clients), None)
        half = CPU_OF_1_MB_BEFORE / 2
        return [
            at_most("CPU per message of 1.5 KB, kept connection", 5.5, kept, _cpu, "ms"),
            at_most("CPU per message of 1.5 KB, new connection", 9.5, new, _cpu, "ms"),
            at_least("deliveries/s of 1.5 KB", 250, kept, lambda load: load.per_s),
            at_most("p50 at 5 messages/s", 15, slow, lambda load: load.p50_ms, "ms"),
            at_most("CPU per message of 1 MB", half, large, _cpu, "ms"),
            # Of a host's 150 MB; nginx, the signer, the resolver and systemd are not in a sandbox.
            at_most("memory at rest", 110, rest, lambda rest: rest.total, "MB"),
        ]

    def tables(self) -> list[Table]:
        """The targets, and what is behind them."""
        tables = [targets_table(self.verdicts())]
        if self.messages:
            tables += [_messages(self.messages), _programs(self.messages)]
        if self.memory:
            tables.append(_memory(self.memory))
        if self.logins:
            tables.append(_logins(self.logins))
        if self.settings:
            tables.append(_settings(self.settings))
        return tables


def run(plan: Plan, only: list[str], report: Callable[[str], None]) -> Result:
    """Measure the scenarios `only`, or all; `report` receives each one's name.

    Raises BenchProblem.
    """
    if os.geteuid():
        raise BenchProblem("Postfix and Dovecot start as root only")
    wanted = only or list(SCENARIOS)
    messages, held, through, compared = {}, [], {}, []
    with memory.limits_of_a_host():
        if wanted != ["settings"]:
            with relay() as sandbox:
                if "memory" in wanted:
                    held = _hold(sandbox, plan, report)
                if "messages" in wanted:
                    messages = _load(sandbox, plan, report)
                if "logins" in wanted:
                    report("logins")
                    through = uvloop.run(logins.measure(sandbox, plan.logins))
        if "settings" in wanted and plan.rounds:
            for variant in settings.VARIANTS:
                report(variant.name)
                compared.append(settings.compare(variant, plan.rounds))
    return Result(messages=messages, memory=held, logins=through, settings=compared)


def _hold(sandbox: Sandbox, plan: Plan, report: Callable[[str], None]) -> list[Memory]:
    held = []
    for clients in plan.clients:
        report(f"{clients} idle clients")
        held.append(uvloop.run(memory.measure(sandbox, clients)))
    return held


def _load(sandbox: Sandbox, plan: Plan, report: Callable[[str], None]) -> dict[str, Delivered]:
    messages = {}
    for name, load in plan.loads.items():
        report(name)
        messages[name] = uvloop.run(deliver(sandbox, load))
    return messages


def _cpu(load: Delivered) -> float:
    return load.cpu_ms


def _messages(messages: dict[str, Delivered]) -> Table:
    rows = [
        [
            name,
            f"{each.messages}",
            *map(number, (each.per_s, each.p50_ms, each.p95_ms, each.p99_ms, each.cpu_ms)),
        ]
        for name, each in messages.items()
    ]
    columns = ("", "messages", "a second", "p50 ms", "p95 ms", "p99 ms", "CPU ms")
    return Table("From submission to the receivers' EXISTS", columns, rows)


def _programs(messages: dict[str, Delivered]) -> Table:
    shown = {
        program: None
        for each in messages.values()
        for program, spent in each.programs.items()
        if spent >= SMALLEST_SHARE * each.cpu_ms
    }
    rows = [
        [program, *(number(each.programs.get(program, 0.0)) for each in messages.values())]
        for program in shown
    ]
    rest = [
        sum(spent for program, spent in each.programs.items() if program not in shown)
        for each in messages.values()
    ]
    rows.append(["others", *map(number, rest)])
    return Table("CPU ms per message, by program", ("", *messages), rows)


def _memory(memory: list[Memory]) -> Table:
    rows = [
        [daemon, *(number(each.daemons[daemon]) for each in memory)] for daemon in memory[0].daemons
    ]
    rows.append(["together", *(number(each.total) for each in memory)])
    rows.append(["processes", *(f"{each.processes}" for each in memory)])
    return Table("Memory, MB", ("", *(f"{each.clients} idle clients" for each in memory)), rows)


def _logins(through: dict[str, Logins]) -> Table:
    rows = [
        [name, *map(number, (each.per_s, each.p50_ms, each.p95_ms, each.cpu_ms))]
        for name, each in through.items()
    ]
    return Table("Logins", ("", "a second", "p50 ms", "p95 ms", "CPU ms"), rows)


def _settings(compared: list[Compared]) -> Table:
    rows = [[each.name, *map(number, each.cpu), f"{len(each.plain)}"] for each in compared]
    return Table(
        "CPU per message without a setting, of the relay's own",
        ("", "ratio", "least", "most", "rounds"),
        rows,
    )
