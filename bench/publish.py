"""How a benchmark ends: its tables on the terminal or as JSON, a whole run's in RESULTS.md."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from bench.machine import circumstances
from bench.report import RESULTS, Table, section, show, written_into

WIDTH = 130
"""Columns that the tables need; a narrower terminal wraps them, which loses nothing."""
errors = Console(stderr=True)
console = Console(width=max(WIDTH, errors.width))


def publish(
    name: str,
    notes: str,
    tables: Sequence[Table],
    figures: dict[str, Any],
    *,
    as_json: bool,
    whole: bool,
) -> None:
    """Show a run of benchmark `name`; a `whole` one is also written into RESULTS.md.

    `figures` is the run for machines; `notes` say what the words in `tables` mean.
    """
    facts = circumstances()
    if as_json:
        print(json.dumps({"circumstances": facts, **figures}))  # noqa: T201 - the output
    else:
        for table in tables:
            show(console, table)
    if whole:
        document = RESULTS.read_text() if RESULTS.exists() else ""
        RESULTS.write_text(written_into(document, name, section(name, notes, facts, tables)))
        errors.print(f"Written to {RESULTS}")
