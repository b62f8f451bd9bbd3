"""The command `scripts/bench filter`."""

from typing import Annotated

import typer

from bench.filter import run as filtering
from bench.publish import benchmark, check_scenarios


def command(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what targets are set for, under a minute.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only this scenario, of: {', '.join(filtering.SCENARIOS)}. May be repeated."
        ),
    ] = None,
) -> None:
    """filtermail between a load generator and a null sink, and between two Postfix services.

    A whole run is under six minutes and writes its tables into bench/RESULTS.md; one with --quick
    or --only only prints them. The exit code tells whether it could be measured, not whether the
    targets are reached.
    """
    check_scenarios(only, filtering.SCENARIOS)
    plan = filtering.QUICK if quick else filtering.FULL
    benchmark(
        filtering.NAME,
        filtering.NOTES,
        lambda report: filtering.run(plan, only or [], report),
        as_json=as_json,
        whole=not quick and not only,
    )
