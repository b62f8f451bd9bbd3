"""The command `postern expire`."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from postern.expiry.maildir import opened
from postern.expiry.messages import Mailbox
from postern.expiry.rules import Rules
from postern.expiry.run import Refused, check_clock, run
from postern.expiry.tally import Tally
from postern.options import DEFAULT_CONFIG, ConfigFile, existing_mailbox, load_config

WORKERS = min(4 * (os.cpu_count() or 1), 8)
"""More than there are cores: much of the time is waiting for the disk, for an inode to be read or,
where the file system is mounted with `discard`, for each file's blocks to be given back."""
errors = Console(stderr=True)


def command(
    config_file: ConfigFile = DEFAULT_CONFIG,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete. Without it, only what would go is counted.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing, even with --remove.")
    ] = False,
    quota_of: Annotated[
        str | None,
        typer.Option(
            "--quota-of",
            metavar="ADDRESS",
            help="Only trim this mailbox to 70 % of its quota, oldest messages first; what "
            "Dovecot's quota warning runs.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = WORKERS,
    force: Annotated[
        bool, typer.Option("--force", help="Go on where every account would be deleted.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Delete old messages, inactive accounts, and what is over the quota.

    By chatmail.ini: messages older than delete_mails_after days, read ones over 200 kB after
    delete_large_after days, accounts without a login for delete_inactive_users_after days.
    Mailboxes fuller than 75 % are trimmed to 70 %, oldest first; messages of the last 24 hours
    stay. Exit code 1: some mailboxes could not be read, or the clock seems wrong.
    """
    config = load_config(config_file)
    rules, act = Rules.of(config, int(time.time())), remove and not dry_run
    if quota_of is not None:
        tally = _trim(existing_mailbox(config, quota_of).path, rules, act=act)
        # Dovecot has hung up on a script's output: writing there would be a failure.
        if as_json or sys.stdout.isatty():
            _show(tally, act, as_json)
        return
    try:
        if not force:
            check_clock(config.mailboxes_dir, config.mail_domain, rules)
        with _progress() as bar:
            task = bar.add_task("", total=None)
            total = run(
                config.mailboxes_dir,
                config.mail_domain,
                rules,
                act=act,
                workers=workers,
                progress=lambda tally: bar.update(task, description=_line(tally)),
            )
    except Refused as refused:
        errors.print(str(refused), markup=False)
        raise typer.Exit(1) from None
    except OSError as error:
        errors.print(f"{config.mailboxes_dir} cannot be read: {error.strerror}", markup=False)
        raise typer.Exit(1) from None
    _show(total, act, as_json)
    if total.skipped:
        errors.print(f"{total.skipped} mailboxes could not be read; the log says why.")
        raise typer.Exit(1)


def _trim(path: Path, rules: Rules, *, act: bool) -> Tally:
    with opened(str(path)) as descriptor:
        if descriptor is None:
            return Tally(skipped=1)
        return Mailbox(descriptor, rules, act=act).trim()


def _progress() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)


def _line(tally: Tally) -> str:
    return f"{tally.mailboxes:,} mailboxes, {tally.messages_removed:,} messages to go"


def _show(tally: Tally, act: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"removed": act, **asdict(tally)}))  # noqa: T201 - the output
        return
    table = Table(title="Removed" if act else "Would be removed (--remove does it)")
    table.add_column("")
    table.add_column("of", justify="right")
    table.add_column("gone" if act else "to go", justify="right")
    rows = (
        ("mailboxes without login for too long", tally.mailboxes, tally.mailboxes_removed),
        ("half-made mailboxes", tally.mailboxes, tally.half_made_removed),
        ("messages", tally.messages, tally.messages_removed),
        ("  of them read and large", None, tally.large_removed),
        ("  of them over the quota", None, tally.trimmed),
        ("files that a crash left", None, tally.leftovers_removed),
        ("MB of messages", tally.octets // 10**6, tally.octets_removed // 10**6),
    )
    for what, of, gone in rows:
        table.add_row(what, "" if of is None else f"{of:,}", f"{gone:,}")
    Console().print(table)
