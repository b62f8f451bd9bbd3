"""The command `scripts/bench gate`."""

from typing import Annotated

import typer

from bench.gate import run as gate
from bench.publish import benchmark


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure the gate's processor time per octet: the worst inputs found beside honest messages.

    A run is two minutes and writes its tables into bench/RESULTS.md. The exit code tells whether
    it could be measured, not whether the targets are reached.
    """
    benchmark(gate.NAME, gate.NOTES, gate.run, as_json=as_json, whole=True)
