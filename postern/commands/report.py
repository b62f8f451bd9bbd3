"""The command `postern report`."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from postern.options import DEFAULT_CONFIG, ConfigFile, complain, load_config, mailboxes_of
from postern.report.gather import gather
from postern.report.outputs import show, write_html, write_textfile

errors = Console(stderr=True)


def command(
    config_file: ConfigFile = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    textfile: Annotated[
        Path | None,
        typer.Option(
            "--textfile",
            metavar="FILE",
            help="Write them for node_exporter's textfile collector (FILE ends with .prom).",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with plots, whole in itself."),
    ] = None,
) -> None:
    """How the relay is used: accounts by last login, size, messages and devices.

    Numbers only, no address. Prints tables, unless a file or JSON is asked for. Exit code 1: some
    mailboxes could not be read, and are counted as such.
    """
    if textfile is not None and textfile.suffix != ".prom":
        # node_exporter would never read it.
        raise typer.BadParameter(
            f"{textfile}: its name must end with .prom", param_hint="'--textfile'"
        )
    config = load_config(config_file)
    now = int(time.time())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("looking at mailboxes", total=None)
        statistics = gather(
            mailboxes_of(config),
            now,
            lambda number: bar.update(task, description=f"{number:,} mailboxes"),
        )
    if textfile is not None:
        write_textfile(statistics, textfile)
    if html is not None:
        date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
        write_html(statistics, html, config.mail_domain, date)
    if as_json:
        print(json.dumps(statistics.as_json()))  # noqa: T201 - the output
    elif textfile is None and html is None:
        show(statistics, Console())
    if statistics.unreadable:
        complain(f"{statistics.unreadable} mailboxes could not be read")
        raise typer.Exit(1)
