"""Tables of results: on the terminal, and in bench/RESULTS.md, one section per benchmark."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import rich.box
import rich.table
from rich.console import Console

from bench.figures import Figures, Verdict

RESULTS = Path(__file__).with_name("RESULTS.md")
_TITLE = "# Results\n\nWritten by `scripts/bench` from its measurements; do not edit.\n"
_REACHED = {True: "reached", False: "missed", None: "not measured"}
FIGURES = ("messages/s", "MB/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms")
"""The columns that `cells` fills."""


class Table(NamedTuple):
    """A table of texts; the first column is aligned left, the others right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def number(value: float) -> str:
    """Format with three significant digits, and never fewer than stand before the point."""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    # A ratio of 0.979 must not be shown as 0.98, a limit that it misses.
    decimals = 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{decimals}f}"


def cells(figures: Figures) -> list[str]:
    """The figures of one load, in the order of `FIGURES`."""
    f = figures
    return [
        number(value)
        for value in (f.messages_per_s, f.mb_per_s, f.p50_ms, f.p95_ms, f.p99_ms, f.cpu_ms)
    ]


def targets_table(verdicts: Iterable[Verdict]) -> Table:
    """Each target, the measured value, and the verdict."""
    rows = []
    for verdict in verdicts:
        target, measured = verdict.target, verdict.measured
        relation, limit = (
            ("≤", target.at_most) if target.at_least is None else ("≥", target.at_least)
        )
        assert limit is not None
        unit = f" {target.unit}" if target.unit else ""
        rows.append(
            [
                target.what,
                f"{relation} {_limit(limit)}{unit}",
                "–" if measured is None else f"{number(measured)}{unit}",
                _REACHED[verdict.reached],
            ]
        )
    return Table("Targets", ("", "target", "measured", ""), rows)


def _limit(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def show(console: Console, table: Table) -> None:
    """Print a table."""
    shown = rich.table.Table(title=table.title, title_justify="left", box=rich.box.SIMPLE)
    for at, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if at else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(*(_coloured(cell) for cell in row))
    console.print(shown)


def _coloured(cell: str) -> str:
    colour = {"reached": "green", "missed": "red"}.get(cell)
    return f"[{colour}]{cell}[/]" if colour else cell


def markdown(table: Table) -> str:
    """A table for RESULTS.md."""
    lines = [
        f"### {table.title}\n",
        _line(table.columns),
        _line(["---", *["---:"] * (len(table.columns) - 1)]),
        *map(_line, table.rows),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def section(name: str, notes: str, circumstances: dict[str, str], tables: Sequence[Table]) -> str:
    """A benchmark's section: circumstances, notes on the words, tables."""
    facts = "\n".join(f"- {what}: {fact}" for what, fact in circumstances.items())
    return "\n".join([f"## {name}\n", facts, "", notes, "", *map(markdown, tables)])


def written_into(document: str, name: str, text: str) -> str:
    """Return `document` with the section of that name replaced, or added at its end."""
    first, *sections = re.split(r"^(?=## )", document or _TITLE, flags=re.MULTILINE)
    kept = [old for old in sections if not old.startswith(f"## {name}\n")]
    return "\n".join(part.rstrip() + "\n" for part in (first, *kept, text))
