"""The command `postern install`."""

import asyncio
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from postern.commands.dns import Addresses, parsed_addresses
from postern.host.certificates.provision import ensure_first, obtain
from postern.host.certificates.wanted import INSTALLED
from postern.host.dns.facts import own_addresses
from postern.host.install import apply as installing
from postern.host.install.changes import Changes
from postern.host.install.closing import missing_records
from postern.host.install.differences import Differences, found
from postern.host.install.local import LOCAL
from postern.host.install.machine import Machine
from postern.host.install.manifest import EDITED, MANIFEST
from postern.host.install.plan import CONFIG, DOVECOT_SERIES, VERSIONS, Plan, planned
from postern.host.install.proof import prove
from postern.host.install.signing import ensure_signing_key
from postern.host.preflight.findings import in_words, stops
from postern.host.preflight.judge import CHECKS, UnknownCheck, ensure_known, judge
from postern.host.preflight.look import Options, look
from postern.host.rendering import render
from postern.options import AsJson, command_group, complain, fail
from postern.qr import qr_code
from postern.status.parts import NO_OPERATOR
from relay.config import Config, ConfigError, parse_config
from relay.owner import Owner

app = command_group()
_LOCK = "/run/postern-install.lock"
_FIRST_UID = 999
"""System users are counted downwards from here."""


@app.command()
def install(
    domain: Annotated[
        str | None,
        typer.Argument(help="The relay's domain. Later runs know it from chatmail.ini."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK", help="Go on whatever this check finds; may be repeated, or `all`."
        ),
    ] = None,
    address: Addresses = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make this host a relay, or update it.

    It needs Debian 12 or 13, and root. The first run checks the host before it writes anything: an
    error stops it, a warning does not.

    A step that fails, or a service that does not come up, puts the host back as it was. A run that
    finds all as it should be changes nothing.

    Lines of your own survive updates in /etc/postern/local: main.cf and master.cf (for Postfix),
    dovecot.conf and nginx.conf; units have `systemctl edit`. A generated file that was edited by
    hand is kept in /var/lib/postern/install/edited when it is replaced.
    """
    if os.geteuid() != 0:
        fail("An installation is root's: use sudo.")
    machine, began = Machine(), time.monotonic()
    with _alone():
        _recover(machine)
        plan, config_text = _plan(machine, domain)
        if not machine.at(MANIFEST).exists():
            _preflight(machine, plan.config, skip or [], address or [], go_on=dry_run)
        differences = found(machine, plan)
        if dry_run:
            _show(differences, as_json=as_json)
            return
        _warn_of_edits(differences)
        if differences:
            _apply(machine, plan, differences, config_text)
    seconds = time.monotonic() - began
    if as_json:
        facts = {"domain": plan.config.mail_domain, "changed": bool(differences)}
        print(json.dumps(facts | {"seconds": round(seconds, 1)}))
    elif not differences:
        print(f"Nothing to change: all is as planned ({seconds:.1f} s).")
    else:
        _show_end(plan.config, address or [], seconds)


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of installations; ends the command with 1 where another one runs."""
    with Path(_LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail("Another installation is under way on this host: wait for its end.")
        yield


def _recover(machine: Machine) -> None:
    complaints = installing.recover(machine)
    if complaints is None:
        return
    complain("An earlier installation was interrupted: the host was put back as it was before it.")
    for text in complaints:
        complain(f"  not put back: {text}")


def _plan(machine: Machine, domain: str | None) -> tuple[Plan, str]:
    """The plan, and the text of chatmail.ini."""
    release = machine.release()
    if release not in DOVECOT_SERIES:
        fail("This needs Debian 12 or 13.")
    source = Path(sys.prefix).parent / "source"
    if Path(sys.prefix).parents[1] != Path(VERSIONS) or not source.is_dir():
        fail("Start it by scripts/install in a checkout: it puts the new version in its place.")
    text = _config_text(machine, domain)
    try:
        config, _ = parse_config(text, CONFIG)
    except ConfigError as error:
        complain(str(error))
        raise typer.Exit(os.EX_CONFIG) from None
    if domain and config.mail_domain.strip("[]") != domain.strip("[]"):
        fail(
            f"This host is the relay of {config.mail_domain} ({CONFIG}): its addresses would be "
            f"lost with another domain. Run it for {config.mail_domain}, or on another host."
        )
    plan = planned(
        config,
        release=release,
        mailboxes_uid=_uid(machine, config.mailboxes_user),
        venv=sys.prefix,
        units=source / "systemd",
        local=lambda name: _local(machine, name),
    )
    return plan, text


def _preflight(
    machine: Machine, config: Config, skip: list[str], addresses: list[str], *, go_on: bool
) -> None:
    """Show what the checks of the host find; ends the command with 1 where an error stops it."""
    skip = list(CHECKS) if skip == ["all"] else skip
    try:
        ensure_known(skip)
    except UnknownCheck as unknown:
        raise typer.BadParameter(str(unknown), param_hint="'--skip'") from None
    if set(skip) == set(CHECKS):
        return
    options = Options(
        root=machine.root,
        addresses=parsed_addresses(addresses),
        own_addresses=partial(own_addresses, ipv6=not config.disable_ipv6),
    )
    findings = judge(asyncio.run(look(config.mail_domain, options)), skip)
    for finding in findings:
        complain(in_words(finding))
    if stops(findings) and not go_on:
        fail("The host is not ready for a relay. Nothing was changed.")


def _config_text(machine: Machine, domain: str | None) -> str:
    try:
        return machine.at(CONFIG).read_text(encoding="utf-8")
    except FileNotFoundError:
        if domain is None:
            fail("Which domain? A first installation needs it: scripts/install chat.example.org")
        return render("host/chatmail.ini", {"mail_domain": domain})


def _uid(machine: Machine, user: str) -> int:
    """The number of a user; of one that is not there yet, the number that it will have."""
    users = machine.users()
    taken = {*users.values(), *machine.groups().values()}
    return users.get(user) or next(uid for uid in range(_FIRST_UID, 99, -1) if uid not in taken)


def _local(machine: Machine, name: str) -> str:
    try:
        return machine.at(f"{LOCAL}/{name}").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _apply(machine: Machine, plan: Plan, differences: Differences, config_text: str) -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        complain(f"{time.monotonic() - began:6.1f} s  {text}")

    def once(changes: Changes) -> None:
        if not machine.at(CONFIG).exists():
            changes.write(CONFIG, config_text)
        for path in INSTALLED:
            changes.will_make(str(path))
        if ensure_first(plan.config).is_new:
            say("a certificate of the relay's own making, until there is a better one")
        if ensure_signing_key(machine, changes, plan.config, int(time.time())):
            say("a key that signs outgoing mail")

    try:
        with installing.undone_if_failed(machine) as changes:
            installing.apply(machine, plan, differences, changes, say, once)
            say("two clients of our own try it")
            say(prove(plan.config, Owner.named(plan.config.mailboxes_user)))
    except installing.Failed as failed:
        complain(str(failed))
        for text in failed.complaints:
            complain(f"not put back: {text}")
        fail("The installation failed. The host is as it was before.")
    for version in installing.old_versions(machine, VERSIONS, plan.venv):
        installing.remove_version(version)


def _warn_of_edits(differences: Differences) -> None:
    for change in differences.files:
        if change.is_edited:
            complain(
                f"{change.file.path} was edited by hand. It is replaced, and the edited one is "
                f"kept in {EDITED}. Lines of your own belong in {LOCAL}. The difference:"
            )
            complain(change.diff())


def _show(differences: Differences, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "packages": differences.packages,
            "user": differences.new_user,
            "directories": [each.path for each in differences.directories],
            "files": [each.file.path for each in differences.files],
            "removed": differences.stale,
            "links": differences.links,
            "units": differences.asleep,
        }
        print(json.dumps(facts, indent=1))
        return
    if not differences:
        print("Nothing would change.")
    for title, names in (
        ("Debian packages to install", differences.packages),
        ("System user to add", [differences.new_user] if differences.new_user else []),
        ("Directories to make", [each.path for each in differences.directories]),
        ("Files to remove", differences.stale),
        ("Links to make", [f"{a} -> {b}" for a, b in differences.links.items()]),
        ("Units to start", differences.asleep),
    ):
        if names:
            print(f"{title}: {', '.join(names)}")
    for change in differences.files:
        print(change.diff())


def _show_end(config: Config, addresses: list[str], seconds: float) -> None:
    """What is left for a person to do, and the link; the code last, where it stays in sight."""
    print(f"The relay of {config.mail_domain} is up ({seconds:.0f} s).")
    for problem in obtain(config).problems:
        print(f"Certificate: {problem}")
    missing = asyncio.run(missing_records(config, parsed_addresses(addresses)))
    for text in missing:
        print(f"DNS: {text}")
    if missing:
        print("`postern dns` prints the records, `postern dns --watch` waits until they are there.")
    if config.operator_address is None:
        print(f"Operator: {NO_OPERATOR}.")
    link = f"dcaccount:{config.mail_domain}"
    print(qr_code(link), end="")
    print(link)
