"""The commands `postern users …`."""

import json
import shutil
import subprocess
import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from postern.options import (
    DEFAULT_CONFIG,
    ConfigFile,
    complain,
    existing_mailbox,
    load_config,
    mailbox_of,
    mailboxes_of,
)
from postern.users.blocking import NoHash, block, unblock
from postern.users.details import details, summaries
from relay.config import Config
from relay.mailbox import removal
from relay.mailbox.directory import day_of
from relay.owner import Owner

app = typer.Typer(no_args_is_help=True, help="Accounts, one by exact address.")
console = Console(soft_wrap=True)
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The exact address.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_command(
    config_file: ConfigFile = DEFAULT_CONFIG,
    blocked: Annotated[bool, typer.Option("--blocked", help="Only blocked ones.")] = False,
    as_json: Json = False,
) -> None:
    """Every address with its state and the day of its last login.

    With --json one object a line, as there may be very many. Exit code 1: some mailboxes could
    not be read; the others are told all the same.
    """
    unreadable = 0
    for line in summaries(mailboxes_of(load_config(config_file))):
        unreadable += line.state == "unreadable"
        if blocked and line.state != "blocked":
            continue
        if as_json:
            print(json.dumps(asdict(line)))  # noqa: T201 - the output
        else:
            print(f"{line.last_login or '-':10}  {line.state:10}  {line.address}")  # noqa: T201 - as above
    if unreadable:
        complain(f"{unreadable} mailboxes could not be read")
        raise typer.Exit(1)


@app.command()
def show(address: Address, config_file: ConfigFile = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Storage, day of the last login, number of devices that push wakes."""
    config = load_config(config_file)
    told = asdict(details(existing_mailbox(config, address), config.max_mailbox_size))
    if as_json:
        print(json.dumps(told))  # noqa: T201 - the output
        return
    table = Table(show_header=False, box=None)
    for name, value in told.items():
        text = f"{value:,}" if isinstance(value, int) else str(value or "-")
        unit = " octets" if name in ("storage", "on_disk", "quota") else ""
        table.add_row(name.replace("_", " "), text + unit)
    console.print(table)


@app.command("block")
def block_command(
    address: Address, config_file: ConfigFile = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Let an address neither log in nor receive; its mail and password stay.

    Mail to it bounces like mail to an address that does not exist, so that nobody can tell the
    difference. An address that nobody has can be blocked too, and is then nobody's. Expiry never
    lifts a block.
    """
    config = load_config(config_file)
    mailbox = mailbox_of(config, address)
    removal.bring_back(mailbox.path)  # where expiry has put it aside
    changed = block(mailbox, _owner(config), day_of(int(time.time())))
    ended = _end_sessions(mailbox.path.name)
    _tell(address, as_json, blocked=True, changed=changed, sessions_ended=ended)


@app.command("unblock")
def unblock_command(
    address: Address, config_file: ConfigFile = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Let a blocked address in again, with the password that it had."""
    mailbox = existing_mailbox(load_config(config_file), address)
    try:
        changed = unblock(mailbox)
    except NoHash:
        complain(
            f"{address} was blocked without keeping its password, or had none: "
            "`postern users delete` makes the address free again"
        )
        raise typer.Exit(1) from None
    _tell(address, as_json, blocked=False, changed=changed)


@app.command()
def delete(
    address: Address,
    config_file: ConfigFile = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete an account with all its mail, at once and for good.

    The address is free then: whoever logs in with it next has it. To keep somebody out, block it.
    """
    config = load_config(config_file)
    removal.bring_back(mailbox_of(config, address).path)  # where expiry has put it aside
    mailbox = existing_mailbox(config, address)
    if not yes:
        typer.confirm(f"Delete {address} and all its mail for good?", abort=True, err=True)
    deleted = removal.remove(mailbox.path)
    # Afterwards: a session that is ended first is opened again at once.
    ended = _end_sessions(mailbox.path.name)
    _tell(address, as_json, deleted=deleted, sessions_ended=ended)


def _owner(config: Config) -> Owner:
    try:
        return Owner.named(config.mailboxes_user)
    except LookupError as error:
        complain(str(error))
        raise typer.Exit(1) from None


def _end_sessions(address: str) -> bool:
    """Whether Dovecot has ended, or says that there are no, sessions of an address."""
    program = shutil.which("doveadm")
    if program is None:
        return False
    done = subprocess.run([program, "kick", address], capture_output=True, check=False)
    # 68: no such session (doveadm-kick(1)).
    return done.returncode in (0, 68)


def _tell(address: str, as_json: bool, **facts: bool) -> None:
    if as_json:
        print(json.dumps({"address": address, **facts}))  # noqa: T201 - the output
    else:
        words = (
            f"{name.replace('_', ' ')}: {'yes' if fact else 'no'}" for name, fact in facts.items()
        )
        console.print(f"{address}: {', '.join(words)}", markup=False)
    if facts.get("sessions_ended") is False:
        complain(f"Sessions that are open go on: doveadm kick {address}")
