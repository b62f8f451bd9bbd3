"""Run a benchmark and publish its result: tables or JSON, and RESULTS.md for a whole run."""

import json
from collections.abc import Callable, Sequence

import typer
from rich.console import Console

from bench.machine import circumstances
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.report import RESULTS, section, show, written_into

WIDTH = 130
"""Columns that the tables need; a narrower terminal wraps them."""
errors = Console(stderr=True)
console = Console(width=max(WIDTH, errors.width))


def check_scenarios(only: Sequence[str] | None, scenarios: Sequence[str]) -> None:
    """Raise typer.BadParameter if `only` has a name that is not in `scenarios`."""
    if unknown := set(only or ()) - set(scenarios):
        raise typer.BadParameter(f"no such scenario: {', '.join(sorted(unknown))}")


def benchmark(
    name: str,
    notes: str,
    measure: Callable[[Callable[[str], None]], Measured],
    *,
    as_json: bool,
    whole: bool,
) -> None:
    """Measure and show the result; write that of a `whole` run into RESULTS.md as well.

    `measure` receives a function to call with the name of each part; `notes` explain the words in
    the tables. Raises typer.Exit if a BenchProblem ends it.
    """
    facts = circumstances()
    try:
        with errors.status("starting") as status:
            result = measure(status.update)
    except BenchProblem as problem:
        errors.print(str(problem), markup=False)
        raise typer.Exit(1) from None
    if result.not_run:
        errors.print(f"Left out: {result.not_run}", markup=False)
    tables = result.tables()
    if as_json:
        print(json.dumps({"circumstances": facts, **result.as_json()}))  # noqa: T201 - the output
    else:
        for table in tables:
            show(console, table)
    if whole:
        document = RESULTS.read_text() if RESULTS.exists() else ""
        RESULTS.write_text(written_into(document, name, section(name, notes, facts, tables)))
        errors.print(f"Written to {RESULTS}")
