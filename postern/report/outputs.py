"""A report as tables, as Prometheus' text, as a page with plots.

Each form imports its library when it is asked for.
"""

import os
from pathlib import Path

from postern.report.statistics import Statistics
from postern.terminal import show_table
from relay.mailbox import drafts

PREFIX = "postern_mailboxes"
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


def show(statistics: Statistics) -> None:
    """Print tables."""
    from rich.table import Table

    table = Table(title="Mailboxes", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for words, number in _totals(statistics):
        table.add_row(words, f"{number:,}")
    show_table(table)
    for title, _, distribution in statistics.distributions():
        table = Table()
        table.add_column(title)
        table.add_column("", justify="right")
        for bucket in distribution.buckets():
            table.add_row(bucket.label, f"{bucket.accounts:,}")
        show_table(table)


def write_textfile(statistics: Statistics, path: Path) -> None:
    """Write for node_exporter's textfile collector, in place of an older file; raises OSError.

    A range's label `at_most` is its upper bound; the ranges below it are not included.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    for name, number in statistics.totals().items():
        Gauge(f"{PREFIX}_{name}", f"Number of {_WORDS[name]}.", registry=registry).set(number)
    for title, name, distribution in statistics.distributions():
        gauge = Gauge(f"{PREFIX}_by_{name}", f"{title}.", ["at_most"], registry=registry)
        for bucket in distribution.buckets():
            bound = "+Inf" if bucket.bound is None else str(bucket.bound)
            gauge.labels(bound).set(bucket.accounts)
    _replace(path, generate_latest(registry))


def write_html(statistics: Statistics, path: Path, domain: str, date: str) -> None:
    """Write one page that needs nothing else; raises OSError."""
    from postern.host.rendering import render

    plots = []
    for title, _, distribution in statistics.distributions():
        buckets = distribution.buckets()
        most = max((bucket.accounts for bucket in buckets), default=0) or 1
        bars = [
            {"label": each.label, "accounts": each.accounts, "share": each.accounts * 100 // most}
            for each in buckets
        ]
        plots.append({"title": title, "bars": bars})
    values = {"domain": domain, "date": date, "totals": _totals(statistics), "plots": plots}
    _replace(path, render("report.html", values).encode())


def _totals(statistics: Statistics) -> list[tuple[str, int]]:
    return [
        (_WORDS[name].replace("octets", "MB"), number // _MB)
        if name.endswith("_octets")
        else (_WORDS[name], number)
        for name, number in statistics.totals().items()
    ]


def _replace(path: Path, content: bytes) -> None:
    """Write a file that everybody may read, in place of an older one; an OSError names `path`."""
    draft = f".{path.name}.new"
    try:
        with drafts.opened_directory(path.parent.resolve()) as place:
            drafts.remove(draft, place=place)
            descriptor = drafts.open_new(draft, 0o644, place=place)
            try:
                drafts.write_all(descriptor, content)
                os.rename(draft, path.name, src_dir_fd=place, dst_dir_fd=place)
            finally:
                os.close(descriptor)
                drafts.remove(draft, place=place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
