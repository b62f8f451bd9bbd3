"""The command `postern dns`."""

import asyncio
import ipaddress
import json
import os
import textwrap
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postern.host.dkim.directory import DIRECTORY, KeyDirectory
from postern.host.dns.answers import View
from postern.host.dns.check import Finding, State
from postern.host.dns.facts import facts_of
from postern.host.dns.forms import as_form, as_lines, as_zone
from postern.host.dns.records import Facts, Need, Record, has_no_dns, remarks, wanted
from postern.options import AsJson, ConfigFile, Relay, SandboxDirectory, command_group, complain
from postern.terminal import progress

if TYPE_CHECKING:
    from postern.host.dns.lookup import Options

app = command_group()
WIDTH = 79
Addresses = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="A public address of this host; may be repeated. [default: what the host has]",
    ),
]
Primaries = Annotated[
    list[str] | None,
    typer.Option(
        "--ask",
        metavar="SERVER",
        help="Also ask this name server, such as a hidden primary, and believe it first.",
    ),
]
Resolvers = Annotated[
    list[str] | None,
    typer.Option(
        "--resolver",
        metavar="ADDRESS",
        help="A resolver to ask; may be repeated. [default: 9.9.9.9, 1.1.1.1, 8.8.8.8]",
    ),
]
DnsPort = Annotated[int, typer.Option("--port", help="Where name servers listen.", hidden=True)]
KeyFiles = Annotated[
    Path,
    typer.Option("--keys", metavar="DIR", help="Where the signing keys are.", show_default=True),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.05, help="How long to wait for an answer."),
]
_MARKS = {State.OK: "OK  ", State.WARNING: "!   ", State.ERROR: "!!  ", State.UNKNOWN: "?   "}
_RIGHT = (State.OK, State.UNKNOWN)


@app.command("dns")
def dns_command(
    config_file: ConfigFile = None,
    sandbox: SandboxDirectory = None,
    zone: Annotated[bool, typer.Option("--zone", help="As a zone file. [default]")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="One line per record.")] = False,
    form: Annotated[
        bool, typer.Option("--form", help="As fields to paste into a provider's form.")
    ] = False,
    check_now: Annotated[
        bool, typer.Option("--check", help="Compare with what name servers answer.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Check again and again until all is right.")
    ] = False,
    required: Annotated[
        bool, typer.Option("--required", help="Only what the relay cannot do without.")
    ] = False,
    address: Addresses = None,
    apex: Annotated[
        str, typer.Option(metavar="ZONE", help="The zone, for --form. [default: looked up]")
    ] = "",
    primary: Primaries = None,
    resolver: Resolvers = None,
    port: DnsPort = 53,
    timeout: Timeout = 4,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.05, help="How often --watch checks.")
    ] = 15,
    dkim_dir: KeyFiles = DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Print the DNS records that the relay needs; check them.

    --check asks the zone's own servers and public resolvers, and says all that is missing or wrong
    at once. Exit code 0: what is required is right, and no record does harm; 1: it is not; 75: no
    name server answers.
    """
    relay = Relay.of(config_file, sandbox)
    domain = relay.config.mail_domain
    if zone + lines + form > 1:
        raise typer.BadParameter("--zone, --lines and --form: give one of them")
    known = parsed_addresses(address or [])
    keys = () if relay.sandbox else KeyDirectory.of(domain, dkim_dir).published(int(time.time()))
    facts = facts_of(relay.config, known, dkim=keys)
    records = [each for each in wanted(domain, facts) if each.need is Need.REQUIRED or not required]
    if not as_json:
        for remark in remarks(domain, facts):
            complain(textwrap.fill(remark, WIDTH))
    if (check_now or watch) and not has_no_dns(domain):
        servers = servers_of(primary, resolver, port, timeout)
        survey = _Survey(domain, facts, records, servers)
        findings = survey.until_right(every, quiet=as_json) if watch else survey.look()
        _conclude(survey, findings, as_json)
    elif as_json:
        print(json.dumps(_as_json(domain, facts, records)))
    elif form:
        apex = apex or _apex(domain, servers_of(primary, resolver, port, timeout))
        print(as_form(records, apex), end="")
    else:
        print(as_lines(records) if lines else as_zone(records), end="")


def servers_of(
    primaries: list[str] | None, resolvers: list[str] | None, port: int, timeout: float
) -> "Options":
    """Whom to ask, of what the command line names."""
    from postern.host.dns.lookup import RESOLVERS, Options  # dnspython takes long to import

    return Options(
        primaries=tuple(primaries or ()),
        resolvers=tuple(resolvers or RESOLVERS),
        port=port,
        timeout=timeout,
    )


class _Survey:
    """The wanted records, compared with the servers' answers as often as it is asked for."""

    def __init__(
        self, domain: str, facts: Facts, records: list[Record], servers: "Options"
    ) -> None:
        self.domain, self.facts, self.records = domain, facts, records
        self._servers = servers
        self.views: list[View] = []

    def look(self) -> list[Finding]:
        """Ask all servers once."""
        from postern.host.dns.survey import survey  # dnspython takes long to import

        asked = survey(self.domain, self.facts, self.records, self._servers)
        findings, self.views = asyncio.run(asked)
        return findings

    def until_right(self, seconds: float, *, quiet: bool) -> list[Finding]:
        """Ask until nothing is wrong, and print each record that has become right meanwhile."""
        before: set[str] = set()
        with progress("asking the name servers") as show:
            while True:
                findings = self.look()
                right = {each.subject for each in findings if each.state is State.OK}
                wrong = [each.subject for each in findings if each.state not in _RIGHT]
                for subject in sorted(right - before):
                    if not quiet and wrong:
                        print(f"{_MARKS[State.OK]}{subject}", flush=True)
                if not wrong:
                    return findings
                before = right
                show(f"{len(wrong)} to go: {', '.join(wrong)[: WIDTH // 2]}")
                time.sleep(seconds)


def parsed_addresses(
    texts: list[str],
) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]:
    """What `--address` names; ends the command with 2 for what is no address."""
    try:
        return tuple(ipaddress.ip_address(text) for text in texts)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--address'") from None


def _apex(domain: str, servers: "Options") -> str:
    """The zone that the domain is in; the domain itself where nobody knows."""
    from postern.host.dns.lookup import Unreachable, find_zone

    try:
        found = asyncio.run(find_zone(domain, servers))
    except Unreachable:
        found = None
    if found is not None:
        return found.apex
    complain(f"The zone of {domain} cannot be looked up: name it with --apex if it is another.")
    return domain


def _conclude(survey: _Survey, findings: list[Finding], as_json: bool) -> None:
    """Print the findings, and end with the exit code."""
    wrong = [each for each in findings if each.state is State.ERROR]
    if as_json:
        found = [asdict(each) for each in findings]
        about = _as_json(survey.domain, survey.facts, survey.records)
        print(json.dumps(about | {"right": not wrong, "findings": found}))
    else:
        for finding in findings:
            _show(finding)
        if all(each.state in _RIGHT for each in findings):
            print("All is right.")
    if all(view.silent for view in survey.views):
        raise typer.Exit(os.EX_TEMPFAIL)
    raise typer.Exit(1 if wrong else 0)


def _show(finding: Finding) -> None:
    print(_MARKS[finding.state] + finding.subject)
    for line in textwrap.wrap(
        finding.text, WIDTH - 4, break_long_words=False, break_on_hyphens=False
    ):
        print(f"    {line}")
    if finding.publish:
        print(f"    publish: {finding.publish}")


def _as_json(domain: str, facts: Facts, records: list[Record]) -> dict[str, Any]:
    return {
        "domain": domain,
        "records": [asdict(record) for record in records],
        "remarks": remarks(domain, facts),
    }
