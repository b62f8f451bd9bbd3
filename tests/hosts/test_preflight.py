"""The checks before an installation, on real hosts that are a relay already."""

import json

from postern.host.install.plan import CURRENT
from tests.hosts.relay import DOMAIN, Relay

ASK_NOBODY = f"""
import asyncio, json
from postern.host.dns.lookup import Options as Dns
from postern.host.preflight.judge import judge
from postern.host.preflight.look import Options, look
nobody = Dns(resolvers=("127.0.0.1",), timeout=0.2)
options = Options(dns=nobody, clocks=(), mail_servers=(), block_lists=())
found = judge(asyncio.run(look("{DOMAIN}", options)))
print(json.dumps({{each.check: [each.outcome, each.said] for each in found}}))
"""


def _findings(relay: Relay) -> dict[str, list[str]]:
    """Outcome and line of each check, without any server that is asked."""
    found: dict[str, list[str]] = json.loads(
        relay.host.run(f"{CURRENT}/bin/python", "-c", ASK_NOBODY)
    )
    return found


def test_a_relay_passes_the_checks_of_its_own_host(relay: Relay) -> None:
    """Its own programs hold the ports, and its own Postfix is no other mail system."""
    found = _findings(relay)
    for check in ("release", "memory", "disk", "ports", "mail-system"):
        assert found[check][0] == "ok", found[check]
    assert found["release"][1].startswith("Debian GNU/Linux 1")
    for check in ("clock", "addresses", "port-25", "block-lists", "reverse-name"):
        assert found[check][0] == "skipped", found[check]


def test_a_foreign_program_at_a_port_is_named(relay: Relay) -> None:
    relay.host.run(
        *("systemd-run", "--quiet", "--unit=foreign", "python3", "-m", "http.server", "80")
    )
    try:
        relay.host.shell("until ss -ltn | grep -q ':80 '; do sleep 0.05; done")
        assert _findings(relay)["ports"] == ["error", "80 is taken by python3"]
    finally:
        relay.host.systemctl("stop", "foreign")


def test_the_trap_of_127_0_1_1_is_seen(relay: Relay) -> None:
    hosts = relay.host.run("cat", "/etc/hosts")
    relay.host.write("/etc/hosts", f"127.0.1.1 {DOMAIN}\n{hosts}")
    try:
        outcome, said = _findings(relay)["host-name"]
    finally:
        relay.host.write("/etc/hosts", hosts)
    assert (outcome, said) == ("warning", f"/etc/hosts says that {DOMAIN} is 127.0.1.1")
