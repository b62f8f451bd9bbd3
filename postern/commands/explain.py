"""The command `postern explain`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from filtermail.gate.grammar import Direction
from postern.explain.explanation import AUTHOR, Explanation, explain
from postern.options import (
    AsJson,
    ConfigFile,
    Relay,
    SandboxDirectory,
    command_group,
    complain,
)
from relay.address import Address, InvalidAddress
from relay.config import MAX_MESSAGE_SIZE

app = command_group()
UNREADABLE = 2
"""The exit status where there is no message to judge."""


@app.command("explain")
def explain_command(
    file: Annotated[
        Path, typer.Argument(help="The message as it was saved; - for standard input.")
    ],
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    incoming: Annotated[
        bool,
        typer.Option("--incoming", help="Judge it as mail that comes in. [default: it goes out]"),
    ] = False,
    sender: Annotated[
        str | None,
        typer.Option(
            help="The envelope's sender; '<>' or '' is the null sender, as bounces have it. "
            "[default: the address in From]"
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="The largest message, in bytes. [default: max_message_size of the relay that "
            f"--config or --sandbox names, or else {MAX_MESSAGE_SIZE}]",
            min=1,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain why a message passes the filter or is refused.

    Also lists its OpenPGP packets. Exit code 0: it passes; 1: it is refused; 2: it cannot be read.
    """
    if limit is None:
        named = config_file is not None or sandbox is not None
        known = Relay.of(config_file, sandbox).config.max_message_size if named else None
        limit = known or MAX_MESSAGE_SIZE
    direction = Direction.INCOMING if incoming else Direction.OUTGOING
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        complain(f"{file} cannot be read: {error.strerror}")
        raise typer.Exit(UNREADABLE) from None
    explanation = explain(content, direction, limit, _sender(sender))
    if as_json:
        print(json.dumps({"accepted": explanation.accepted} | asdict(explanation)))
    else:
        _show(explanation)
    raise typer.Exit(0 if explanation.accepted else 1)


def _sender(text: str | None) -> Address | str | None:
    """The envelope's sender as `explain` takes it; a faulty one ends the command."""
    if text is None:
        return AUTHOR
    if text in ("", "<>"):
        return None
    try:
        return Address.parse(text.removeprefix("<").removesuffix(">"))
    except InvalidAddress as error:
        complain(f"--sender: {error}")
        raise typer.Exit(UNREADABLE) from None


def _show(explanation: Explanation) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    reply = explanation.reply
    text = escape(" ".join(reply.lines))
    if explanation.accepted:
        console.print(f"[green]{text}[/green]")
    else:
        console.print(f"[red]It is refused:[/red] {reply.code} {text}")
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
