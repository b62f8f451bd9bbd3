"""The command `postern expire`."""

import json
import os
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from postern.acting import acting_as
from postern.expiry.maildir import opened
from postern.expiry.messages import OpenMailbox
from postern.expiry.rules import Rules
from postern.expiry.run import run
from postern.expiry.survey import survey
from postern.expiry.tally import Tally
from postern.options import AsJson, ConfigFile, Relay, SandboxDirectory, command_group, fail
from postern.terminal import progress, show_table
from relay.mailbox.directory import Mailboxes, NotMounted

app = command_group()
WORKERS = min(4 * (os.cpu_count() or 1), 8)
"""More than there are cores: much of the time is spent waiting for the disk, for an inode to be
read or, where the file system is mounted with `discard`, for each file's blocks to be freed."""
QUOTA_OF = "POSTERN_QUOTA_OF"
"""The environment variable that names the mailbox: arguments can be read by every user (`ps`)."""


@app.command()
def expire(
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete. Without it, only count what would go.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing, even with --remove.")
    ] = False,
    quota_of: Annotated[
        str | None,
        typer.Option(
            "--quota-of",
            metavar="ADDRESS",
            envvar=QUOTA_OF,
            help="Only trim this mailbox to 70 % of its quota, oldest messages first. Dovecot's "
            "quota warning runs this.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="How many processes share the work.")
    ] = WORKERS,
    force: Annotated[
        bool, typer.Option("--force", help="Go on even if most accounts or messages would go.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete old messages, inactive accounts, and what is over quota.

    By chatmail.ini: messages older than delete_mails_after days, read ones over 200 kB after
    delete_large_after days, accounts without a login for delete_inactive_users_after days.
    Mailboxes fuller than 75 % are trimmed to 70 %, oldest first; messages of the last 24 hours
    stay.

    Exit code 1: some mailboxes could not be read, or nothing was deleted because the clock seems
    wrong or the mailboxes' disk is not mounted.
    """
    relay = Relay.of(config_file, sandbox)
    rules, act = Rules.of(relay.config, int(time.time())), remove and not dry_run
    if quota_of is not None:
        tally = _trim(relay, quota_of, rules, act=act)
        # Dovecot does not read a script's output: writing there would be a failure.
        if as_json or sys.stdout.isatty():
            _show(tally, act, as_json)
        return
    with acting_as(relay.owner):
        problem = _problem(relay.mailboxes, rules, force=force)
        if problem and act:
            fail(problem)
        total = _expire(relay.mailboxes, rules, act=act, workers=workers)
    _show(total, act, as_json)
    if problem:
        fail(problem)
    if total.skipped:
        fail(f"{total.skipped} mailboxes could not be read; the log says why")


def _problem(mailboxes: Mailboxes, rules: Rules, *, force: bool) -> str | None:
    """Why nothing should be deleted, with the remedy."""
    try:
        mailboxes.check_mounted()
    except NotMounted as missing:
        return missing.strerror
    return None if force else survey(mailboxes.root, mailboxes.domain, rules).problem(rules)


def _expire(mailboxes: Mailboxes, rules: Rules, *, act: bool, workers: int) -> Tally:
    with progress("looking at the mailboxes") as show:
        return run(
            mailboxes.root,
            mailboxes.domain,
            rules,
            act=act,
            workers=workers,
            progress=lambda tally: show(_line(tally)),
        )


def _trim(relay: Relay, address: str, rules: Rules, *, act: bool) -> Tally:
    with acting_as(relay.owner), opened(str(relay.existing_mailbox(address).path)) as descriptor:
        if descriptor is None:
            return Tally(skipped=1)
        return OpenMailbox(descriptor, rules, act=act).trim()


def _line(tally: Tally) -> str:
    return f"{tally.mailboxes:,} mailboxes, {tally.messages_removed:,} messages to go"


def _show(tally: Tally, act: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"removed": act, **asdict(tally)}))
        return
    from rich.table import Table

    table = Table(title="Removed" if act else "Would be removed (--remove does it)")
    table.add_column("")
    table.add_column("of", justify="right")
    table.add_column("gone" if act else "to go", justify="right")
    rows = (
        ("inactive accounts", tally.mailboxes, tally.mailboxes_removed),
        ("half-made mailboxes", tally.mailboxes, tally.half_made_removed),
        ("messages", tally.messages, tally.messages_removed),
        ("  of them read and large", None, tally.large_removed),
        ("  of them over quota", None, tally.trimmed),
        ("files left by a crash", None, tally.leftovers_removed),
        ("MB of messages", tally.octets // 10**6, tally.octets_removed // 10**6),
    )
    for what, of, gone in rows:
        table.add_row(what, "" if of is None else f"{of:,}", f"{gone:,}")
    show_table(table)
