"""The command `scripts/bench push`."""

from typing import Annotated

import typer

from bench.problem import BenchProblem
from bench.publish import errors, publish
from bench.push import run as push


def command(
    quick: Annotated[bool, typer.Option("--quick", help="Less of each, about a minute.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this scenario, of: {', '.join(push.SCENARIOS)}. May be repeated."),
    ] = None,
) -> None:
    """metadata between a load of new messages and a gateway with a set latency and failures.

    A whole run is about five minutes and writes its tables into bench/RESULTS.md; one with
    --quick or --only only prints them. The scenario sandbox needs Postfix, Dovecot and root. The
    exit code tells whether it could be measured, not whether the targets are reached.
    """
    if unknown := set(only or ()) - set(push.SCENARIOS):
        raise typer.BadParameter(f"no such scenario: {', '.join(sorted(unknown))}")
    try:
        with errors.status("starting") as status:
            result = push.run(push.QUICK if quick else push.FULL, only or [], status.update)
    except BenchProblem as problem:
        errors.print(str(problem), markup=False)
        raise typer.Exit(1) from None
    if result.not_run:
        errors.print(f"No sandbox: {result.not_run}")
    publish(
        push.NAME,
        push.NOTES,
        result.tables(),
        result.as_json(),
        as_json=as_json,
        whole=not quick and not only,
    )
