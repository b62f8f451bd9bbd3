"""The command `postern status`."""

import json
import math
import textwrap
import time
from typing import Any

import typer

from postern.options import AsJson, ConfigFile, Relay, SandboxDirectory, command_group, complain
from postern.status import wording
from postern.status.figures import Spread
from postern.status.parts import ALARMS, Part, look

app = command_group()
WIDTH = 79
_VALUE = 30
"""Columns for a value, at the right."""


@app.command()
def status(
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Is it well? Ask every daemon, Postfix and Dovecot.

    Also shows what the daemons have counted and timed since they were started last; counts of
    nothing are left out. Run it as root: the metrics sockets and Postfix' queue are root's. Exit
    code 1: a part does not answer, or is not well.
    """
    relay = Relay.of(config_file, sandbox)
    parts = list(look(relay, time.time()))
    failing = [part for part in parts if not part.is_well]
    if as_json:
        print(json.dumps(_as_json(parts), indent=1))
    else:
        for part in parts:
            _show_figures(part)
        for part in parts:
            mark = "   " if part.is_well else "!! "
            _print_wrapped(f"{mark}{part.name:20} ", part.text)
    if failing:
        complain(f"Not well: {', '.join(part.name for part in failing)}.")
        raise typer.Exit(1)
    if not as_json:
        print("All is well.")


def _show_figures(part: Part) -> None:
    shown = [
        figure
        for figure in part.figures
        if figure.name not in ALARMS and wording.is_worth_showing(figure)
    ]
    if not shown:
        return
    print(part.name)
    before = ""
    for figure in shown:
        labels, value = wording.labels(figure), wording.value(figure)
        if not labels:
            _print_row(2, wording.title(figure), value)
        else:
            if figure.name != before:
                _print_wrapped("  ", wording.title(figure))
            _print_row(4, labels, value)
        before = figure.name
    print()


def _print_row(indent: int, text: str, value: str) -> None:
    """A text, wrapped, with a value at the right of its last line."""
    space = " " * indent
    lines = textwrap.wrap(text, WIDTH - max(_VALUE, len(value)) - indent - 1) or [""]
    for line in lines[:-1]:
        print(space + line)
    last = space + lines[-1]
    print(f"{last} {value:>{WIDTH - len(last) - 1}}")


def _print_wrapped(beginning: str, text: str) -> None:
    room = " " * len(beginning)
    print(textwrap.fill(text, WIDTH, initial_indent=beginning, subsequent_indent=room))


def _as_json(parts: list[Part]) -> dict[str, Any]:
    return {
        "well": all(part.is_well for part in parts),
        "parts": {
            part.name: {
                "well": part.is_well,
                "text": part.text,
                "figures": [
                    {"name": each.name, "labels": dict(each.labels), **_json_value(each.value)}
                    for each in part.figures
                ],
            }
            for part in parts
        },
    }


def _json_value(value: float | Spread) -> dict[str, Any]:
    """JSON knows neither infinity nor NaN: they become null."""
    if not isinstance(value, Spread):
        return {"value": _finite(value)}
    percentiles = {f"p{each}": _finite(bound) for each, bound in value.percentiles.items()}
    return {"count": value.count, **percentiles}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
