"""The command `scripts/bench auth`."""

from typing import Annotated

import typer

from bench.auth import run as auth
from bench.publish import benchmark, check_scenarios


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
    check_scenarios(only, auth.SCENARIOS)
    plan = auth.QUICK if quick else auth.FULL
    benchmark(
        auth.NAME,
        auth.NOTES,
        lambda report: auth.run(plan, only or [], report),
        as_json=as_json,
        whole=not quick and not only,
    )
