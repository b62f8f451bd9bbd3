"""The command `scripts/bench expire`."""

from typing import Annotated

import typer

from bench.expire import run as expiry
from bench.problem import BenchProblem
from bench.publish import errors, publish


def command(
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the mailboxes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """`postern expire --remove` over 20,000 mailboxes with 200,000 messages, beside a naive walk.

    A whole run is about two minutes, needs 2 GB and half a million inodes in the temporary
    directory, and writes its tables into bench/RESULTS.md; one with --quick only prints them. The
    exit code tells whether it could be measured, not whether the targets are reached.
    """
    try:
        with errors.status("starting") as status:
            result = expiry.run(expiry.QUICK if quick else expiry.FULL, status.update)
    except BenchProblem as problem:
        errors.print(str(problem), markup=False)
        raise typer.Exit(1) from None
    publish(
        expiry.NAME,
        expiry.NOTES,
        result.tables(),
        result.as_json(),
        as_json=as_json,
        whole=not quick,
    )
