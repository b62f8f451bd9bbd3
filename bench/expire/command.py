"""The command `scripts/bench expire`."""

from typing import Annotated

import typer

from bench.expire import run as expiry
from bench.publish import benchmark


def command(
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the mailboxes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """`postern expire --remove` over 20,000 mailboxes with 200,000 messages, beside a naive walk.

    A whole run is about two minutes, needs 2 GB and half a million inodes in the temporary
    directory, and writes its tables into bench/RESULTS.md; one with --quick only prints them. The
    exit code tells whether it could be measured, not whether the targets are reached.
    """
    plan = expiry.QUICK if quick else expiry.FULL
    benchmark(
        expiry.NAME,
        expiry.NOTES,
        lambda report: expiry.run(plan, report),
        as_json=as_json,
        whole=not quick,
    )
