"""A whole run of the benchmark `rest`."""

from collections.abc import Callable
from statistics import median

from bench.base import HERE, base_checkout
from bench.figures import Verdict, at_most
from bench.measured import Measured
from bench.report import Table, number, targets_table
from bench.rest.daemons import Memory, at_rest

NAME = "rest"
ROUNDS = 5
NOTES = """\
The four daemons of a relay, started with every socket that they have and left alone for a second
after their first answers. PSS is resident memory with each shared page divided by the processes
that share it (smaps_rollup), so that the sum is what the four take together; other Python processes
on the machine lower it a little. *Base* is the commit named beside it. Both take rounds in turns;
figures are medians, in MB of 10^6 octets."""


class Result(Measured, frozen=True, kw_only=True):
    """The memory of each daemon by its name, a dictionary per round."""

    base_name: str
    here: list[dict[str, Memory]]
    base: list[dict[str, Memory]]

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        return [at_most("the four together, PSS", 85, self.here, together, "MB")]

    def tables(self) -> list[Table]:
        """The targets, and each daemon."""
        sides = (self.here, self.base)
        rows = [
            [
                name,
                *(
                    number(median(getattr(memory[name], field) for memory in rounds))
                    for rounds in sides
                    for field in Memory.__struct_fields__
                ),
            ]
            for name in self.here[0]
        ]
        total = ["together", *(cell for rounds in sides for cell in (number(together(rounds)), ""))]
        sides_columns = (HERE.name, self.base_name)
        columns = [f"{side}, {kind}" for side in sides_columns for kind in ("PSS", "RSS")]
        return [
            targets_table(self.verdicts()),
            Table("Memory at rest, MB", ("", *columns), [*rows, total]),
        ]


def together(rounds: list[dict[str, Memory]]) -> float:
    """The median of the sum of all daemons' PSS, in MB."""
    return median(sum(memory.pss for memory in daemons.values()) for daemons in rounds)


def run(rounds: int, revision: str, report: Callable[[str], None]) -> Result:
    """Measure this checkout and the commit `revision` in turns; raises BenchProblem."""
    base = base_checkout(revision)
    result = Result(base_name=base.name, here=[], base=[])
    turns = [(HERE, result.here), (base, result.base)]
    for number_of_round in range(rounds):
        for code, results in turns:
            report(f"{code.name}, round {number_of_round + 1} of {rounds}")
            results.append(at_rest(code))
        turns.reverse()
    return result
