"""The operator's command. Started as `postern`, or as `python -m postern`."""

import typer

from postern import explaining
from postern.addresses.command import app as users
from postern.expiry import command as expire
from postern.sandbox.commands import app as sandbox

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Postern: a chatmail relay on stock Postfix and Dovecot.",
)
app.add_typer(sandbox, name="sandbox")
app.command("explain")(explaining.command)
app.add_typer(users, name="users")
app.command("expire")(expire.command)


def main() -> None:
    """Run the command line."""
    app(prog_name="postern")


if __name__ == "__main__":
    main()
