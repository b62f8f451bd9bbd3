"""The command `postern report`."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from postern.acting import acting_as
from postern.options import AsJson, ConfigFile, Relay, SandboxDirectory, command_group, fail
from postern.report import outputs
from postern.report.gather import gather
from postern.terminal import progress

app = command_group()


@app.command()
def report(
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    as_json: AsJson = False,
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
        typer.Option("--html", metavar="FILE", help="Write a page with plots in one file."),
    ] = None,
) -> None:
    """How the relay is used, in numbers that name nobody.

    Accounts by last login, size, messages and devices. Prints tables, unless a file or JSON is
    asked for. Exit code 1: some mailboxes could not be read, and are counted as such.
    """
    if textfile is not None and textfile.suffix != ".prom":
        # node_exporter would never read it.
        raise typer.BadParameter(
            f"{textfile}: its name must end with .prom", param_hint="'--textfile'"
        )
    relay = Relay.of(config_file, sandbox)
    now = int(time.time())
    with progress("looking at the mailboxes") as show, acting_as(relay.owner):
        statistics = gather(relay.mailboxes, now, lambda number: show(f"{number:,} mailboxes"))
    if textfile is not None:
        outputs.write_textfile(statistics, textfile)
    if html is not None:
        date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
        outputs.write_html(statistics, html, relay.config.mail_domain, date)
    if as_json:
        print(json.dumps(statistics.as_json()))
    elif textfile is None and html is None:
        outputs.show(statistics)
    if statistics.unreadable:
        fail(f"{statistics.unreadable} mailboxes could not be read")
