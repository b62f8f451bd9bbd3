"""The operator's command. Started as `postern`, or as `python -m postern`.

Dovecot's quota warning starts `postern expire` for a mailbox that is nearly full, so a command's
module is imported only when that command is called.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "install": "Make this host a relay, or update it.",
    "status": "Is it well? Ask every daemon, Postfix and Dovecot.",
    "users": "List accounts; show, block or delete one.",
    "invite": "Invitations, for a relay with `registration = invite`.",
    "expire": "Delete old messages, inactive accounts, and what is over quota.",
    "report": "How the relay is used, in numbers that name nobody.",
    "dns": "Print the DNS records that the relay needs; check them.",
    "dkim": "The keys that sign outgoing mail: show and rotate them.",
    "certificates": "The TLS certificate: is it well, renew it, install a new one.",
    "privacy": "What is on disk where, for how long, and who can read it.",
    "explain": "Explain why a message passes the filter or is refused.",
}
"""Each command is `app` in `postern.commands.NAME`; the text is its line in `postern --help`."""


class Commands(TyperGroup):
    """The commands by name, each imported when it is asked for."""

    def list_commands(self, _context: Any) -> list[str]:
        """Their names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, _context: Any, name: str) -> Any:
        """One of them; None where there is no such command."""
        if name not in COMMANDS:
            return None
        return typer.main.get_command(import_module(f"postern.commands.{name}").app)

    def format_commands(self, _context: Any, formatter: Any) -> None:
        """List them in the help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Settle what belongs to `--sandbox` before anything else is read."""
        return super().parse_args(context, with_sandbox(arguments))


def with_sandbox(arguments: list[str]) -> list[str]:
    """Write `--sandbox` and `--sandbox DIR` as `--sandbox=` and `--sandbox=DIR`.

    The next argument is DIR only if it is a directory: an address or a number that follows is
    the command's own.
    """
    written: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*written, argument, *rest]
        if argument == "--sandbox":
            is_directory = bool(rest) and Path(rest[0]).is_dir()
            argument = f"--sandbox={rest.pop(0) if is_directory else ''}"
        written.append(argument)
    return written


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"postern {version('postern-relay')}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text fits 80 columns and needs no rich
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def postern(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Postern: a chatmail relay on stock Postfix and Dovecot."""


def main() -> None:
    """Run the command line; an OSError ends it with one line and no traceback."""
    try:
        app(prog_name="postern")
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{name}{error.strerror or error}")


if __name__ == "__main__":
    main()
