"""A whole run of the benchmark `group`."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.figures import Verdict, at_most
from bench.group.chat import deferred, group
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.report import Table, targets_table
from sandbox.problem import SandboxProblem
from sandbox.relay import Sandbox

NAME = "group"
MEMBERS = 10
MESSAGES = 40
QUICK = 8
PAUSE_SECONDS = 3.0
NOTES = """\
Ten real Delta Chat cores, one device each, are members of one group in a sandbox; one of them
writes every three seconds. A *receipt* is one member's client showing one message; its time
runs from `send_text` at the sender's core, so that both cores' own work is in it. *Deferred*
are recipients that Postfix had to put off."""


class Chat(Measured, frozen=True, kw_only=True):
    """What became of the messages. Times are in seconds, in ascending order."""

    messages: int
    deferred: int
    receipts: list[float]

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        return [
            at_most("deferred", 0, self, lambda chat: chat.deferred),
            at_most("p99 of receipts", 1.0, self, lambda chat: chat.percentile(99), "s"),
        ]

    def percentile(self, percent: int) -> float:
        """The time within which so many per cent of the receipts came."""
        return self.receipts[min(len(self.receipts) * percent // 100, len(self.receipts) - 1)]

    def tables(self) -> list[Table]:
        """The targets, and the distribution behind them."""
        row = [f"{self.messages}", f"{len(self.receipts)}", f"{self.deferred}"]
        row += [f"{self.percentile(percent):.2f}" for percent in (50, 90, 99, 100)]
        heading = ("messages", "receipts", "deferred", "p50 s", "p90 s", "p99 s", "most s")
        return [targets_table(self.verdicts()), Table("Ten cores in a group", heading, [row])]


def run(messages: int, report: Callable[[str], None]) -> Chat:
    """Let a group talk in a sandbox of its own; raises BenchProblem."""
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as directory:
        try:
            with Sandbox(Path(directory) / "sandbox") as sandbox:
                report("making the group")
                with group(sandbox, MEMBERS) as members:
                    before = deferred(sandbox)
                    report(f"{messages} messages, one every {PAUSE_SECONDS:.0f} s")
                    receipts = members.talk(messages, PAUSE_SECONDS)
                late = deferred(sandbox) - before
        except (SandboxProblem, TimeoutError) as problem:
            raise BenchProblem(str(problem)) from None
    return Chat(messages=messages, deferred=late, receipts=sorted(receipts))
