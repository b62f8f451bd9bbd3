"""The commands `postern invite …`."""

import json
import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from doveauth.invitations import Invitations
from postern.options import DEFAULT_CONFIG, ConfigFile, complain, load_config
from relay.config import Config
from relay.owner import Owner

app = typer.Typer(
    no_args_is_help=True, help="Invitations, for a relay with `registration = invite`."
)
console = Console()
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}


def expiry(text: str | None, now: int) -> int | None:
    """When an invitation ends, in seconds since the epoch; raises typer.BadParameter."""
    if text is None:
        return None
    if match := re.fullmatch(r"([0-9]{1,4})([hdw])", text):
        end = now + int(match[1]) * _UNITS[match[2]]
    else:
        try:
            moment = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise _bad_expiry(
                f"{text!r}: give a time such as 12h, 7d or 4w, or a day such as 2027-01-31"
            ) from None
        end = int(moment.timestamp())
    if end <= now:
        raise _bad_expiry(f"{text!r} is past: nobody could use the invitation")
    return end


def _bad_expiry(reason: str) -> typer.BadParameter:
    return typer.BadParameter(reason, param_hint="'--expires'")


@app.command()
def create(
    config_file: ConfigFile = DEFAULT_CONFIG,
    uses: Annotated[int, typer.Option(min=1, max=1_000_000, help="Accounts it is good for.")] = 1,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="After 12h, 7d, 4w, or when a day begins: 2027-01-31 (UTC)."
        ),
    ] = None,
    label: Annotated[str, typer.Option(help="For you, to tell it from others.")] = "",
    as_json: Json = False,
) -> None:
    """Make an invitation and print its link, this once: only a digest of it is kept."""
    config = load_config(config_file)
    identity, token = _store(config).create(uses, expiry(expires, int(time.time())), label)
    link = f"DCACCOUNT:https://{config.mail_domain}/new?invitation={quote(token)}"
    if as_json:
        print(json.dumps({"id": identity, "token": token, "link": link}))  # noqa: T201 - the output
    else:
        print(link)  # noqa: T201 - as above
    if config.registration != "invite":
        complain(
            f"registration is {config.registration!r} in {config_file}: invitations are asked for "
            "only where it is 'invite'"
        )


@app.command("list")
def list_command(config_file: ConfigFile = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Invitations with what is left of them; their links cannot be shown again."""
    found = _store(load_config(config_file)).all()
    if as_json:
        print(json.dumps([asdict(each) for each in found]))  # noqa: T201 - the output
        return
    table = Table("id", "label", "uses left", "expires (UTC)")
    now = time.time()
    for each in found:
        left, label = f"{each.uses_left} of {each.uses}", Text(each.label)
        table.add_row(str(each.id), label, left, _ending(each.expires, now))
    console.print(table)


@app.command()
def revoke(
    identity: Annotated[int, typer.Argument(metavar="ID", help="As `postern invite list` has it.")],
    config_file: ConfigFile = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Make an invitation worthless. Accounts that were made with it stay."""
    if not _store(load_config(config_file)).revoke(identity):
        complain(f"There is no invitation {identity}.")
        raise typer.Exit(1)
    if as_json:
        print(json.dumps({"id": identity, "revoked": True}))  # noqa: T201 - the output
    else:
        print(f"invitation {identity}: revoked")  # noqa: T201 - as above


def _ending(expires: int | None, now: float) -> str:
    if expires is None:
        return "-"
    moment = f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M}"
    return f"{moment}, expired" if expires <= now else moment


def _store(config: Config) -> Invitations:
    try:
        return Invitations.of(config, Owner.named(config.mailboxes_user))
    except LookupError as error:
        complain(str(error))
        raise typer.Exit(1) from None
