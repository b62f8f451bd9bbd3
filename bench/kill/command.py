"""The command `scripts/bench kill`."""

from typing import Annotated

import typer

from bench.kill import run as killing
from bench.publish import benchmark


def command(
    quick: Annotated[bool, typer.Option("--quick", help="A few kills only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Each daemon killed (SIGKILL) again and again under load with real Postfix and Dovecot.

    A whole run takes about ten minutes and writes its tables into bench/RESULTS.md; one with
    --quick prints them only. Needs root. The exit code says whether it could be measured, not
    whether the targets are reached.
    """
    kills = killing.QUICK if quick else killing.KILLS
    benchmark(
        killing.NAME,
        killing.NOTES,
        lambda report: killing.run(kills, report),
        as_json=as_json,
        whole=not quick,
    )
