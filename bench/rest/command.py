"""The command `scripts/bench rest`."""

from typing import Annotated

import typer

from bench.base import LAST_RELEASE
from bench.publish import benchmark
from bench.rest import run as rest


def command(
    quick: Annotated[bool, typer.Option("--quick", help="One round.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    base: Annotated[
        str,
        typer.Option(
            metavar="REV", help="The commit to compare with; by default the last release."
        ),
    ] = LAST_RELEASE,
) -> None:
    """Our four daemons at rest, of this checkout and of an earlier commit: memory.

    A whole run is under a minute and writes its tables into bench/RESULTS.md; one with --quick or
    --base prints them only. The exit code says whether it could be measured, not whether the
    targets are reached.
    """
    rounds = 1 if quick else rest.ROUNDS
    benchmark(
        rest.NAME,
        rest.NOTES,
        lambda report: rest.run(rounds, base, report),
        as_json=as_json,
        whole=not quick and base == LAST_RELEASE,
    )
