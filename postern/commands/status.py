"""The command `postern status`."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from postern.options import complain
from postern.status import wording
from postern.status.figures import Figure, Spread
from postern.status.reading import Silent, ask

DOVEAUTH = Path("/run/doveauth/metrics.socket")
METADATA = Path("/run/metadata/metrics.socket")
RECORD = "processes.json"
"""What a running sandbox says of itself, in its directory."""
console = Console(highlight=False)


def command(
    doveauth: Annotated[
        Path, typer.Option(metavar="PATH", help="doveauth's metrics socket.")
    ] = DOVEAUTH,
    metadata: Annotated[
        Path, typer.Option(metavar="PATH", help="The metadata service's metrics socket.")
    ] = METADATA,
    sandbox: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Ask the daemons of the sandbox that runs there instead."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the daemons count and time: pushes that wait, outcomes, logins, latencies.

    Counts go back to a daemon's last start. Needs root, as the metrics sockets are root's. Exit
    code 1: a daemon does not answer; the others are shown all the same.
    """
    sockets = {"doveauth": doveauth, "metadata": metadata}
    if sandbox is not None:
        sockets = _of_sandbox(sandbox, list(sockets))
    told: dict[str, list[Figure]] = {}
    silent: dict[str, str] = {}
    for daemon, path in sockets.items():
        try:
            told[daemon] = ask(daemon, path)
        except Silent as problem:
            silent[daemon] = str(problem)
    if as_json:
        print(json.dumps(_as_json(told, silent), indent=1))  # noqa: T201 - the output
    else:
        _show(told)
    for daemon, reason in silent.items():
        complain(f"{daemon} does not answer: {reason}")
    if silent:
        raise typer.Exit(1)


def _of_sandbox(directory: Path, daemons: list[str]) -> dict[str, Path]:
    """The metrics sockets of the sandbox that runs in `directory`, as its record names them."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        complain(f"no sandbox runs in {directory}: scripts/run starts one")
        raise typer.Exit(1) from None
    return {daemon: Path(record["metrics"][daemon]) for daemon in daemons}


def _show(told: Mapping[str, list[Figure]]) -> None:
    for daemon, figures in told.items():
        table = Table(title=daemon, title_justify="left", title_style="bold", show_header=False)
        table.add_column(ratio=2)
        table.add_column()
        table.add_column(justify="right")
        before = ""
        for figure in figures:
            if before and figure.name != before:
                table.add_section()
            what = "" if figure.name == before else figure.help.rstrip(".")
            table.add_row(what, wording.labels(figure), wording.value(figure))
            before = figure.name
        console.print(table)


def _as_json(told: Mapping[str, list[Figure]], silent: Mapping[str, str]) -> dict[str, Any]:
    answers: dict[str, Any] = {daemon: {"error": reason} for daemon, reason in silent.items()}
    for daemon, figures in told.items():
        answers[daemon] = {
            "figures": [
                {"name": each.name, "labels": dict(each.labels), **_json_value(each.value)}
                for each in figures
            ]
        }
    return answers


def _json_value(value: float | Spread) -> dict[str, Any]:
    """JSON knows neither infinity nor NaN: they become null."""
    if not isinstance(value, Spread):
        return {"value": _finite(value)}
    percentiles = {f"p{each}": _finite(bound) for each, bound in value.percentiles.items()}
    return {"count": value.count, **percentiles}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
