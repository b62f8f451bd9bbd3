"""The operator's command. Started as `postern`, or as `python -m postern`."""

import sys

import typer

from postern.commands import expire, report, status
from postern.commands import explain as explaining
from postern.commands import invite as inviting
from postern.commands.users import app as users

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # which wraps a paragraph as a whole
    help="Postern: a chatmail relay on stock Postfix and Dovecot.",
)
app.command("explain")(explaining.command)
app.add_typer(users, name="users")
app.add_typer(inviting.app, name="invite")
app.command("expire")(expire.command)
app.command("report")(report.command)
app.command("status")(status.command)


def main() -> None:
    """Run the command line; what the system does not let us do is said in a line."""
    try:
        app(prog_name="postern")
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{name}{error.strerror or error}")


if __name__ == "__main__":
    main()
