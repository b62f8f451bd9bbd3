"""The commands `postern certificates …`."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from postern.host.certificates import provision
from postern.host.certificates.inspection import PORTS, Inspection, inspect
from postern.host.certificates.provision import Outcome
from postern.options import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigFile,
    command_group,
    complain,
    load_config,
)
from relay.config import Config

app = command_group("The TLS certificate: is it well, renew it, install a new one.")


@app.command()
def status(config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Is the certificate well, and do the servers show it?

    Looks at the files in /etc/postern/tls and asks ports 993, 465 and 443 of this host. Run it as
    root: the key is root's. Exit code 1: something is wrong, such as a certificate that should
    have been renewed weeks before its end.
    """
    found = inspect(_config(config_file))
    if as_json:
        print(json.dumps(_as_json(found), indent=1))
    elif found.pair is not None:
        print(f"issued by   {found.kind.value}: {_issuer(found)}")
        print(f"names       {', '.join(found.pair.names)}")
        print(f"expires     {found.pair.expires:%Y-%m-%d}, in {_days_left(found)} days")
    for problem in found.problems:
        complain(f"!! {problem}")
    if found.problems:
        raise typer.Exit(1)
    if not as_json:
        print(f"Ports {', '.join(map(str, PORTS))} show it. All is well.")


@app.command()
def deploy(config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Install the newest certificate that is on this host.

    Copies it to /etc/postern/tls and reloads Dovecot, Postfix and nginx, if it is another one.
    Where there is none yet, makes a self-signed one. certbot runs this after each renewal. Exit
    code 1: it is not usable, or a server could not be reloaded.
    """
    _report(provision.deploy(_config(config_file)), as_json)


@app.command()
def renew(
    config_file: ConfigFile = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also where none is due. Certificate authorities allow a few per week.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Get a certificate if one is due, and install it.

    Asks the ACME server if there is no certificate yet, if it lacks a name that leads here, or if
    it should have been renewed by now. A timer runs this every hour. Exit code 1, with the reason:
    there is no certificate such as the configuration asks for.
    """
    _report(provision.obtain(_config(config_file), force=force), as_json)


def _config(config_file: ConfigFile) -> Config:
    return load_config(config_file or DEFAULT_CONFIG)


def _report(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"is_new": outcome.is_new, "problems": outcome.problems}, indent=1))
    else:
        print("A new certificate is installed." if outcome.is_new else "Nothing has changed.")
    for problem in outcome.problems:
        complain(f"!! {problem}")
    if outcome.problems:
        raise typer.Exit(1)


def _issuer(found: Inspection) -> str:
    assert found.pair is not None
    return "itself" if found.pair.is_self_signed else found.pair.leaf.issuer.rfc4514_string()


def _days_left(found: Inspection) -> int:
    assert found.pair is not None
    return (found.pair.expires - datetime.now(UTC)).days


def _as_json(found: Inspection) -> dict[str, Any]:
    shown: dict[str, Any] = {"well": not found.problems, "kind": found.kind.value}
    if found.pair is not None:
        shown |= {
            "names": found.pair.names,
            "issuer": _issuer(found),
            "expires": found.pair.expires.isoformat(),
            "serial": f"{found.pair.leaf.serial_number:x}",
        }
    return shown | {"problems": found.problems}
