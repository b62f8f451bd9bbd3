"""The command `scripts/bench auth`."""

from typing import Annotated

import typer

from bench.auth import run as auth
from bench.problem import BenchProblem
from bench.publish import errors, publish


def command(
    quick: Annotated[bool, typer.Option("--quick", help="Less of each, under a minute.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this scenario, of: {', '.join(auth.SCENARIOS)}. May be repeated."),
    ] = None,
) -> None:
    """doveauth under lookups and first logins, and behind a real Dovecot with slow answers.

    A whole run is about three minutes and writes its tables into bench/RESULTS.md; one with
    --quick or --only only prints them. Logins need Dovecot 2.4 and root. The exit code tells
    whether it could be measured, not whether the targets are reached.
    """
    if unknown := set(only or ()) - set(auth.SCENARIOS):
        raise typer.BadParameter(f"no such scenario: {', '.join(sorted(unknown))}")
    try:
        with errors.status("starting") as status:
            result = auth.run(auth.QUICK if quick else auth.FULL, only or [], status.update)
    except BenchProblem as problem:
        errors.print(str(problem), markup=False)
        raise typer.Exit(1) from None
    if result.not_run:
        errors.print(f"No logins on Dovecot: {result.not_run}")
    publish(
        auth.NAME,
        auth.NOTES,
        result.tables(),
        result.as_json(),
        as_json=as_json,
        whole=not quick and not only,
    )
