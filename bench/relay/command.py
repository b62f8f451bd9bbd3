"""The command `scripts/bench relay`."""

from typing import Annotated

import typer

from bench.publish import benchmark, check_scenarios
from bench.relay import run as relaying


def command(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer messages and clients; under two minutes.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="SCENARIO", help=", ".join(relaying.SCENARIOS)),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """The whole relay on one host: messages, memory, logins, and what each setting is worth.

    A whole run takes some five minutes and writes its tables into bench/RESULTS.md; one with
    --quick or --only prints them only. Needs root. The exit code says whether it could be measured,
    not whether the targets are reached.
    """
    check_scenarios(only, relaying.SCENARIOS)
    benchmark(
        relaying.NAME,
        relaying.NOTES,
        lambda report: relaying.run(relaying.plan(quick=quick), only or [], report),
        as_json=as_json,
        whole=not quick and not only,
    )
