"""The command `postern explain`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from filtermail.gate.grammar import Direction
from postern.explain.explanation import Explanation, explain
from relay.address import Address, InvalidAddress
from relay.config import MAX_MESSAGE_SIZE

UNREADABLE = 2
"""The exit status where there is no message to judge."""


def command(
    file: Annotated[
        Path, typer.Argument(help="The message as it was saved; - for standard input.")
    ],
    incoming: Annotated[
        bool, typer.Option("--incoming", help="Judge it as mail that comes in. [default: goes out]")
    ] = False,
    sender: Annotated[
        str, typer.Option(help="The envelope's sender. [default: the address in From]")
    ] = "",
    limit: Annotated[
        int, typer.Option(help="The largest message, in bytes.", min=1)
    ] = MAX_MESSAGE_SIZE,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Tell why a message passes the gate, or is refused, and what packets it holds.

    Exits with 0 if it passes, with 1 if it is refused, with 2 if it cannot be read.
    """
    direction = Direction.INCOMING if incoming else Direction.OUTGOING
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        address = Address.parse(sender) if sender else None
    except OSError as error:
        typer.echo(f"{file} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(UNREADABLE) from None
    except InvalidAddress as error:
        typer.echo(f"--sender: {error}", err=True)
        raise typer.Exit(UNREADABLE) from None
    explanation = explain(content, direction, limit, address)
    if as_json:
        typer.echo(json.dumps({"accepted": explanation.accepted} | asdict(explanation)))
    else:
        _show(explanation)
    raise typer.Exit(0 if explanation.accepted else 1)


def _show(explanation: Explanation) -> None:
    console = Console(highlight=False)
    reply = explanation.reply
    if explanation.accepted:
        console.print("[green]It passes.[/green]")
    else:
        console.print(f"[red]It is refused:[/red] {reply.code} {escape(' '.join(reply.lines))}")
    if explanation.place:
        console.print(f"Found in {escape(explanation.place)}")
    if explanation.packets:
        table = Table("tag", "packet", "version", "octets")
        for packet in explanation.packets:
            version = "" if packet.version is None else str(packet.version)
            table.add_row(str(packet.tag), packet.name, version, f"{packet.octets:,}")
        console.print(table)
    if explanation.packet_fault:
        console.print(f"Packets: {escape(explanation.packet_fault)}.")
