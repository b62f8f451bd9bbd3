"""A report as a table, as Prometheus' text, as a page with plots."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from rich.console import Console
from rich.table import Table

from postern.host.rendering import render
from postern.report.statistics import Statistics

PREFIX = "postern_mailboxes"
BAR = 360
"""Width of the longest bar of a plot, in the units of its picture."""
_MB = 1_000_000
_WORDS = {
    "accounts": "accounts",
    "blocked": "blocked addresses",
    "half_made": "half-made mailboxes",
    "unreadable": "mailboxes that could not be read",
    "messages": "messages",
    "storage_octets": "octets that quota counts",
    "on_disk_octets": "octets on disk",
    "devices": "devices that push wakes",
}


def show(statistics: Statistics, console: Console) -> None:
    """Print tables."""
    table = Table(title="Mailboxes", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for words, number in _totals(statistics):
        table.add_row(words, f"{number:,}")
    console.print(table)
    for title, _, distribution in statistics.distributions():
        table = Table()
        table.add_column(title)
        table.add_column("", justify="right")
        for bucket in distribution.buckets():
            table.add_row(bucket.label, f"{bucket.accounts:,}")
        console.print(table)


def write_textfile(statistics: Statistics, path: Path) -> None:
    """Write for node_exporter's textfile collector, in place of an older file; raises OSError.

    A range's label `at_most` is its upper bound; what is in the ranges below it is not counted.
    """
    registry = CollectorRegistry()
    for name, number in statistics.totals().items():
        Gauge(f"{PREFIX}_{name}", f"Number of {_WORDS[name]}.", registry=registry).set(number)
    for title, name, distribution in statistics.distributions():
        gauge = Gauge(f"{PREFIX}_by_{name}", f"{title}.", ["at_most"], registry=registry)
        for bucket in distribution.buckets():
            bound = "+Inf" if bucket.bound is None else str(bucket.bound)
            gauge.labels(bound).set(bucket.accounts)
    with _replacing(path) as draft:
        draft.write_bytes(generate_latest(registry))


def write_html(statistics: Statistics, path: Path, domain: str, date: str) -> None:
    """Write one page that needs nothing else; raises OSError."""
    plots = []
    for title, _, distribution in statistics.distributions():
        buckets = distribution.buckets()
        most = max((bucket.accounts for bucket in buckets), default=0) or 1
        bars = [
            {"label": each.label, "accounts": each.accounts, "width": each.accounts * BAR // most}
            for each in buckets
        ]
        plots.append({"title": title, "bars": bars})
    values = {"domain": domain, "date": date, "totals": _totals(statistics), "plots": plots}
    with _replacing(path) as draft:
        draft.write_text(render("report.html", values), encoding="utf-8")


def _totals(statistics: Statistics) -> list[tuple[str, int]]:
    return [
        (_WORDS[name].replace("octets", "MB"), number // _MB)
        if name.endswith("_octets")
        else (_WORDS[name], number)
        for name, number in statistics.totals().items()
    ]


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A draft that takes the place of `path` once it is written; an OSError names `path`."""
    draft = path.with_name(f".{path.name}.new")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None
