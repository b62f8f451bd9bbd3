"""The commands `postern invite …`."""

import json
import os
import re
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer

from doveauth.invitations import Invitations
from postern.acting import acting_as
from postern.options import (
    AsJson,
    ConfigFile,
    Relay,
    SandboxDirectory,
    command_group,
    complain,
    fail,
)
from postern.qr import qr_code

app = command_group("Invitations, for a relay with `registration = invite`.")
_UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}


def expiry(text: str | None, now: int) -> int | None:
    """When an invitation expires, in seconds since the epoch; raises typer.BadParameter."""
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
        raise _bad_expiry(f"{text!r} is in the past: nobody could use the invitation")
    return end


def _bad_expiry(reason: str) -> typer.BadParameter:
    return typer.BadParameter(reason, param_hint="'--expires'")


@app.command()
def create(
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    uses: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many accounts can be made with it.")
    ] = 1,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="After 12h, 7d, 4w, or when a day begins: 2027-01-31 (UTC)."
        ),
    ] = None,
    label: Annotated[str, typer.Option(help="A note for you, shown in the list.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make an invitation and print its link, as a QR code too on a terminal.

    The link cannot be shown again: only a digest of it is kept.
    """
    relay = Relay.of(config_file, sandbox)
    end = expiry(expires, int(time.time()))
    _ensure_state(relay)
    with acting_as(relay.owner):
        identity, token = _store(relay).create(uses, end, label)
    query = f"new?invitation={quote(token)}"
    link = f"DCACCOUNT:https://{relay.config.mail_domain}/{query}"
    if relay.config.registration != "invite":
        complain(
            f"registration is {relay.config.registration!r} in {relay.config_file}: invitations "
            "are asked for only where it is 'invite'"
        )
    if relay.record is not None:
        complain(
            "a sandbox has no web server, so no client can open the link; doveauth answers by:\n"
            f"curl -X POST --unix-socket {relay.record['sockets']}/new.socket "
            f"'http://localhost/{query}'"
        )
    if as_json:
        print(json.dumps({"id": identity, "token": token, "link": link}))
    else:
        print(link)
        if sys.stdout.isatty():
            print(qr_code(link), end="")


@app.command("list")
def list_command(
    config_file: ConfigFile = None, sandbox: SandboxDirectory = None, as_json: AsJson = False
) -> None:
    """List invitations and how many uses are left; their links cannot be shown again."""
    relay = Relay.of(config_file, sandbox)
    _ensure_state(relay)
    with acting_as(relay.owner):
        found = _store(relay).all()
    if as_json:
        print(json.dumps([asdict(each) for each in found]))
        return
    from rich.table import Table
    from rich.text import Text

    from postern.terminal import show_table

    table = Table("id", "label", "uses left", "expires (UTC)")
    now = time.time()
    for each in found:
        left, text = f"{each.uses_left} of {each.uses}", Text(each.label)
        table.add_row(str(each.id), text, left, _ending(each.expires, now))
    show_table(table)


@app.command()
def revoke(
    identity: Annotated[int, typer.Argument(metavar="ID", help="As in `postern invite list`.")],
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Make an invitation worthless. Accounts that were made with it stay."""
    relay = Relay.of(config_file, sandbox)
    _ensure_state(relay)
    with acting_as(relay.owner):
        revoked = _store(relay).revoke(identity)
    if not revoked:
        fail(f"There is no invitation {identity}.")
    if as_json:
        print(json.dumps({"id": identity, "revoked": True}))
    else:
        print(f"Invitation {identity} is revoked.")


def _ending(expires: int | None, now: float) -> str:
    if expires is None:
        return "-"
    moment = f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M}"
    return f"{moment}, expired" if expires <= now else moment


def _store(relay: Relay) -> Invitations:
    return Invitations.of(relay.config, relay.owner)


def _ensure_state(relay: Relay) -> None:
    """Make the invitations' directory where doveauth has not run yet: below it is root's."""
    directory, owner = relay.config.registration_state_dir, relay.owner
    if os.geteuid() == 0 and not directory.exists():
        directory.mkdir(mode=0o700)
        owner.take(directory)
