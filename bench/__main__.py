"""`python -m bench BENCHMARK`, which scripts/bench starts."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from bench.filter import run as filtering
from bench.machine import circumstances
from bench.problem import BenchProblem
from bench.report import RESULTS, section, show, written_into

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
WIDTH = 130
"""Columns that the tables need; a narrower terminal wraps them, which loses nothing."""
errors = Console(stderr=True)
console = Console(width=max(WIDTH, errors.width))


@app.callback()
def main() -> None:
    """Measure the relay's daemons from outside, under load."""


@app.command(filtering.NAME)
def measure_filter(
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
    facts, tables = circumstances(), result.tables()
    if as_json:
        print(json.dumps({"circumstances": facts, **result.as_json()}))  # noqa: T201 - the output
    else:
        for table in tables:
            show(console, table)
    if not quick and not only:
        document = RESULTS.read_text() if RESULTS.exists() else ""
        text = section(filtering.NAME, filtering.NOTES, facts, tables)
        RESULTS.write_text(written_into(document, filtering.NAME, text))
        errors.print(f"Written to {RESULTS}")


if __name__ == "__main__":
    sys.exit(app())
