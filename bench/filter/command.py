"""The command `scripts/bench filter`."""

from typing import Annotated

import typer

from bench.filter import run as filtering
from bench.problem import BenchProblem
from bench.publish import errors, publish


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
    if unknown := set(only or ()) - set(filtering.SCENARIOS):
        raise typer.BadParameter(f"no such scenario: {', '.join(sorted(unknown))}")
    try:
        with errors.status("starting") as status:
            plan = filtering.QUICK if quick else filtering.FULL
            result = filtering.run(plan, only or [], status.update)
    except BenchProblem as problem:
        errors.print(str(problem), markup=False)
        raise typer.Exit(1) from None
    if result.not_run:
        errors.print(f"Not run through Postfix: {result.not_run}")
    publish(
        filtering.NAME,
        filtering.NOTES,
        result.tables(),
        result.as_json(),
        as_json=as_json,
        whole=not quick and not only,
    )
