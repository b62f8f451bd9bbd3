"""The command `scripts/bench filter`."""

from typing import Annotated

import typer

from bench.base import LAST_RELEASE
from bench.filter import run as filtering
from bench.publish import benchmark, check_scenarios


def command(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what targets are set for; under 90 seconds.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only this scenario, of: {', '.join(filtering.SCENARIOS)}. May be repeated."
        ),
    ] = None,
    base: Annotated[
        str,
        typer.Option(
            metavar="REV", help="The commit to compare with; by default the last release."
        ),
    ] = LAST_RELEASE,
) -> None:
    """filtermail between a load generator and a null sink, and between two Postfix services.

    An earlier commit's filtermail is measured in turns with this checkout's, so that what slows
    the machine slows both. A whole run is under eight minutes and writes its tables into
    bench/RESULTS.md; one with --quick, --only or --base prints them only. The exit code says
    whether it could be measured, not whether the targets are reached.
    """
    check_scenarios(only, filtering.SCENARIOS)
    plan = filtering.QUICK if quick else filtering.FULL
    benchmark(
        filtering.NAME,
        filtering.NOTES,
        lambda report: filtering.run(plan, only or [], base, report),
        as_json=as_json,
        whole=not quick and not only and base == LAST_RELEASE,
    )
