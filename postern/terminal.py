"""Progress on a terminal, and tables. rich is imported only where something is shown."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

Show = Callable[[str], None]


@contextlib.contextmanager
def progress(text: str) -> Iterator[Show]:
    """A line on standard error that says how far a run is, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda text: bar.update(task, description=text)


def show_table(table: "Table") -> None:
    """Print a table to standard output."""
    from rich.console import Console

    Console(highlight=False).print(table)
