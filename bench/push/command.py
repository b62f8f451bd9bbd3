"""The command `scripts/bench push`."""

from typing import Annotated

import typer

from bench.publish import benchmark, check_scenarios
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
    check_scenarios(only, push.SCENARIOS)
    plan = push.QUICK if quick else push.FULL
    benchmark(
        push.NAME,
        push.NOTES,
        lambda report: push.run(plan, only or [], report),
        as_json=as_json,
        whole=not quick and not only,
    )
