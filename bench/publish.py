"""How a benchmark is run and ends: tables or JSON, and a whole run's tables in RESULTS.md."""

import json
from collections.abc import Callable, Sequence

import typer
from rich.console import Console

from bench.machine import circumstances
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.report import RESULTS, section, show, written_into

WIDTH = 130
"""Columns that the tables need; a narrower terminal wraps them, which loses nothing."""
errors = Console(stderr=True)
console = Console(width=max(WIDTH, errors.width))


def check_scenarios(only: Sequence[str] | None, scenarios: Sequence[str]) -> None:
    """Raise typer.BadParameter for one that is none of `scenarios`."""
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
    """Have a benchmark measured and show it; a `whole` run is also written into RESULTS.md.

    `measure` is given what hears of each part of it; `notes` say what the words in its tables
    mean. Raises typer.Exit where it cannot be measured.
    """
    try:
        with errors.status("starting") as status:
            result = measure(status.update)
    except BenchProblem as problem:
        errors.print(str(problem), markup=False)
        raise typer.Exit(1) from None
    if result.not_run:
        errors.print(f"Left out: {result.not_run}", markup=False)
    tables = result.tables()
    facts = circumstances()
    if as_json:
        print(json.dumps({"circumstances": facts, **result.as_json()}))  # noqa: T201 - the output
    else:
        for table in tables:
            show(console, table)
    if whole:
        document = RESULTS.read_text() if RESULTS.exists() else ""
        RESULTS.write_text(written_into(document, name, section(name, notes, facts, tables)))
        errors.print(f"Written to {RESULTS}")
