"""The commands `postern users …`."""

import json
import os
import subprocess
import time
from dataclasses import asdict
from typing import Annotated

import typer

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
from postern.users.blocking import NoHash, block, unblock
from postern.users.details import details, summaries
from relay.mailbox import removal
from relay.mailbox.directory import day_of

app = command_group("List accounts; show, block or delete one.")
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The exact address.")]
NO_SESSION = 68
"""doveadm-kick(1): nobody is logged in with that address."""


@app.command("list")
def list_command(
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    blocked: Annotated[bool, typer.Option("--blocked", help="Only blocked ones.")] = False,
    as_json: AsJson = False,
) -> None:
    """List every address with its state and the day of its last login.

    Sorted by address. With --json one object per line, as there may be very many. Exit code 1:
    some mailboxes could not be read; the others are listed all the same.
    """
    relay = Relay.of(config_file, sandbox)
    with acting_as(relay.owner):
        found = summaries(relay.mailboxes)
    lines = [line for line in found if line.state == "blocked" or not blocked]
    if lines and not as_json:
        print(f"{'last login':10}  {'state':10}  address")
    for line in lines:
        if as_json:
            print(json.dumps(asdict(line)))
        else:
            print(f"{line.last_login or '-':10}  {line.state:10}  {line.address}")
    if unreadable := sum(line.state == "unreadable" for line in found):
        fail(f"{unreadable} mailboxes could not be read")


@app.command()
def show(
    address: Address,
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Show storage, day of the last login, number of devices that push wakes."""
    relay = Relay.of(config_file, sandbox)
    with acting_as(relay.owner):
        found = asdict(details(relay.existing_mailbox(address), relay.config.max_mailbox_size))
    if as_json:
        print(json.dumps(found))
        return
    width = max(map(len, found))
    for name, value in found.items():
        text = f"{value:,}" if isinstance(value, int) else str(value or "-")
        unit = " octets" if name in ("storage", "on_disk", "quota") else ""
        print(f"{name.replace('_', ' '):{width}}  {text}{unit}")


@app.command("block")
def block_command(
    address: Address,
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Keep an address from logging in and receiving; its mail and password stay.

    Mail to it bounces like mail to an address that does not exist, so that nobody can tell the
    difference. An address that nobody has can be blocked too: then nobody can create it. Expiry
    never lifts a block.
    """
    relay = Relay.of(config_file, sandbox)
    mailbox, owner = relay.mailbox(address), relay.owner
    with acting_as(owner):
        removal.bring_back(mailbox.path)  # where expiry has set it aside
        changed = block(mailbox, owner, day_of(int(time.time())))
    still_open = _end_sessions(relay, mailbox.path.name)
    done = f"{address} is blocked." if changed else f"{address} was blocked already."
    facts = {"blocked": True, "changed": changed, "sessions_ended": not still_open}
    _report(address, facts, done, as_json)
    if still_open:
        complain(still_open)


@app.command("unblock")
def unblock_command(
    address: Address,
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    as_json: AsJson = False,
) -> None:
    """Let a blocked address in again, with the password that it had."""
    relay = Relay.of(config_file, sandbox)
    try:
        with acting_as(relay.owner):
            changed = unblock(relay.existing_mailbox(address))
    except NoHash:
        fail(
            f"{address} was blocked without keeping its password, or had none: "
            "`postern users delete` makes the address free again"
        )
    done = f"{address} can log in again." if changed else f"{address} was not blocked."
    _report(address, {"blocked": False, "changed": changed}, done, as_json)


@app.command()
def delete(
    address: Address,
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete an account with all its mail, at once and for good.

    The address is free afterwards: the next person to log in with it has it. To keep somebody
    out, block the address.
    """
    relay = Relay.of(config_file, sandbox)
    with acting_as(relay.owner):
        removal.bring_back(relay.mailbox(address).path)  # where expiry has set it aside
        mailbox = relay.existing_mailbox(address)
    if not yes:
        typer.confirm(f"Delete {address} and all its mail for good?", abort=True, err=True)
    with acting_as(relay.owner):
        deleted = removal.remove(mailbox.path)
    # Afterwards: a client whose session is ended first opens another at once.
    still_open = _end_sessions(relay, mailbox.path.name)
    done = f"{address} is deleted." if deleted else f"{address} was deleted meanwhile."
    _report(address, {"deleted": deleted, "sessions_ended": not still_open}, done, as_json)
    if still_open:
        complain(still_open)


def _report(address: str, facts: dict[str, bool], text: str, as_json: bool) -> None:
    print(json.dumps({"address": address, **facts}) if as_json else text)


def _end_sessions(relay: Relay, address: str) -> str | None:
    """End the Dovecot sessions of an address. Return why some may still be open, and the remedy."""
    command = [*relay.doveadm, "kick", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        reason = "doveadm is not installed, or not in PATH"
    else:
        if done.returncode in (os.EX_OK, NO_SESSION):
            return None
        said = done.stderr.strip().splitlines()
        reason = said[-1] if said else f"doveadm ended with status {done.returncode}"
    return (
        f"Sessions of this address that are open, if any, go on: {reason}\n"
        f"To end them: {' '.join(command)}"
    )
