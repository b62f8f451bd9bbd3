"""The command `scripts/bench group`."""

from typing import Annotated

import typer

from bench.group import run as grouping
from bench.publish import benchmark


def command(
    quick: Annotated[bool, typer.Option("--quick", help="A few messages only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Ten real Delta Chat cores in one group, a message every three seconds.

    A whole run takes two and a half minutes and writes its tables into bench/RESULTS.md; one with
    --quick prints them only. Needs root. The exit code says whether it could be measured, not
    whether the targets are reached.
    """
    messages = grouping.QUICK if quick else grouping.MESSAGES
    benchmark(
        grouping.NAME,
        grouping.NOTES,
        lambda report: grouping.run(messages, report),
        as_json=as_json,
        whole=not quick,
    )
