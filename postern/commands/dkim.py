"""The commands `postern dkim …`."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postern.commands.dns import DnsPort, KeyFiles, Primaries, Resolvers, Timeout, servers_of
from postern.host.dkim.directory import DIRECTORY, SIGNER, KeyDirectory, NoKeys
from postern.host.dkim.rotation import Keys, obstacles, record_of
from postern.host.dkim.signer import NotReloaded, reload_signer
from postern.host.dns.answers import questions_of
from postern.host.dns.forms import as_lines, as_zone
from postern.options import AsJson, ConfigFile, Relay, SandboxDirectory, command_group, fail

if TYPE_CHECKING:
    from postern.host.dns.lookup import Options

app = command_group("The keys that sign outgoing mail: show and rotate them.")


@app.command()
def show(
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    keys: KeyFiles = DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Show each key, whether it signs, and the records that belong into DNS."""
    directory = _directory(Relay.of(config_file, sandbox), keys)
    found, now = _read(directory), int(time.time())
    if as_json:
        print(json.dumps(_as_json(directory, found, now)))
        return
    print(f"{found.signing}: signs since {_day(found.since)}")
    if found.following:
        print(f"{found.following}: made; `postern dkim rotate` has it sign once it is in DNS")
    for selector in found.retired:
        if now < found.needed_until:
            print(f"{selector}: signed before; leave its record until {_day(found.needed_until)}")
        else:
            print(f"{selector}: signed before; `postern dkim rotate` deletes it")
    print()
    print(as_zone([record_of(directory.domain, key) for key in directory.published(now)]), end="")


@app.command()
def rotate(
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    keys: KeyFiles = DIRECTORY,
    finish: Annotated[
        bool, typer.Option("--finish", help="Go on with a rotation, but begin none.")
    ] = False,
    primary: Primaries = None,
    resolver: Resolvers = None,
    port: DnsPort = 53,
    timeout: Timeout = 4,
    as_json: AsJson = False,
) -> None:
    """Take the next step towards a new key, and say what comes after it.

    1. A key is made beside the current one, and its record printed: publish it. 2. Once all name
    servers show it, the new key signs, and the old record stays for mail that is under way. 3. A
    week later the old key is deleted. Repeat the command for each step; to run it too early does
    no harm. Exit code 1: the record is not there yet.
    """
    directory, now = _directory(Relay.of(config_file, sandbox), keys), int(time.time())
    servers = servers_of(primary, resolver, port, timeout)
    if directory.table.exists() or finish:
        said, done = _step(directory, servers, now, begin=not finish)
    else:
        said, done = _first(directory, now), True
    if as_json:
        print(json.dumps(_as_json(directory, _read(directory), now) | {"said": said}))
    else:
        print("\n".join(said))
    if not done:
        raise typer.Exit(1)


def _step(
    directory: KeyDirectory, servers: "Options", now: int, *, begin: bool
) -> tuple[list[str], bool]:
    """Take the next step. Return what is to be said, and False where the record is missing."""
    found, said = _read(directory), list[str]()
    if found.retired and now >= found.needed_until:
        said += _delete(directory, found)
        found = _read(directory)
    if found.following:
        missing = _missing(directory, found, servers)
        return said + (missing or _switch(directory, found, now)), not missing
    if not begin:
        said.append("Nothing else is under way." if said else "No rotation is under way.")
    elif found.retired:
        said.append(
            f"The last rotation ends on {_day(found.needed_until)}, when its old record can go: "
            "the next one can begin then."
        )
    else:
        said += _begin(directory, now)
    return said, True


def _directory(relay: Relay, path: Path) -> KeyDirectory:
    if relay.sandbox is not None:
        fail("a sandbox sends nothing out, and has no signer")
    return KeyDirectory.of(relay.config.mail_domain, path)


def _read(directory: KeyDirectory) -> Keys:
    try:
        return directory.read()
    except NoKeys as error:
        fail(str(error))


def _first(directory: KeyDirectory, now: int) -> list[str]:
    """The first key of a host, whose signer does not run without one."""
    directory.ensure(now)
    key = directory.public(_read(directory).signing)
    return [
        f"The key {key.selector} is made, and signs from the next start of the signer on "
        f"(systemctl restart {SIGNER}). Publish its record:",
        "",
        as_lines([record_of(directory.domain, key)]),
    ]


def _begin(directory: KeyDirectory, now: int) -> list[str]:
    selector = directory.make(now)
    return [
        f"The key {selector} is made; it does not sign yet. Publish its record beside the others:",
        "",
        as_lines([record_of(directory.domain, directory.public(selector))]),
        "Then run `postern dkim rotate` again (`postern dns --form` and `--zone` print it too).",
    ]


def _missing(directory: KeyDirectory, found: Keys, servers: "Options") -> list[str]:
    """What keeps the next key from signing; nothing if all servers show its record."""
    from postern.host.dns.lookup import look

    record = record_of(directory.domain, directory.public(found.following))
    views = asyncio.run(look(directory.domain, questions_of(record), servers))
    reasons = obstacles(record, views)
    if not reasons:
        return []
    return [
        f"The key {found.following} does not sign yet, because not everybody sees its record:",
        *(f"  {reason}" for reason in reasons),
        "It has to be:",
        "",
        as_lines([record]),
    ]


def _switch(directory: KeyDirectory, found: Keys, now: int) -> list[str]:
    directory.sign_with(found.following, now, (*found.retired, found.signing))
    _reload()
    until = _day(_read(directory).needed_until)
    return [
        f"The key {found.following} signs now.",
        f"Leave {found.signing}._domainkey.{directory.domain} in DNS until {until}: mail that it "
        "signed may wait in queues until then. `postern dkim rotate` deletes the key after that.",
    ]


def _delete(directory: KeyDirectory, found: Keys) -> list[str]:
    # The signer may not have been reloaded where the step before was cut short.
    _reload()
    for selector in found.retired:
        directory.remove(selector)
    return [
        f"The key {selector} is deleted. Delete the record {selector}._domainkey."
        f"{directory.domain} now, if it is still there."
        for selector in found.retired
    ]


def _reload() -> None:
    try:
        reload_signer()
    except NotReloaded as error:
        fail(str(error))


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _as_json(directory: KeyDirectory, found: Keys, now: int) -> dict[str, object]:
    records = [record_of(directory.domain, key) for key in directory.published(now)]
    return {
        "signing": found.signing,
        "since": found.since,
        "following": found.following or None,
        "retired": list(found.retired),
        "needed_until": found.needed_until if found.retired else None,
        "records": {record.name: record.value for record in records},
    }
