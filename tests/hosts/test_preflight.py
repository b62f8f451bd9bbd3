"""The checks before an installation, on real hosts: each fault is seen, and said with its text.

The hosts are relays already. The world that they see is this machine: a name server, a mail server
and a clock at the other end of the cable.
"""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from postern.host.install.plan import CURRENT
from tests.hosts.relay import DOMAIN, Relay
from tests.postern.host.dns.server import NameServer, serving

ADDRESS = "192.0.2.1"
"""The host's public address, as an operator behind NAT names it."""
SCRIPT = """
import asyncio, json, sys
from ipaddress import ip_address
from postern.host.dns.lookup import Options as Dns
from postern.host.preflight.findings import in_words
from postern.host.preflight.judge import judge
from postern.host.preflight.look import Options, look
said = json.load(sys.stdin)
options = Options(
    dns=Dns(resolvers=(said["here"],), port=said["port"], timeout=5),
    addresses=tuple(ip_address(each) for each in said["addresses"]),
    clocks=(said["clock"],),
    mail_servers=((said["here"], said["smtp"]),),
    ipv6_targets=(("::1", 9),),
    block_lists=("list.example",),
)
found = judge(asyncio.run(look(said["domain"], options)))
print(json.dumps({each.check: [each.outcome, in_words(each)] for each in found}))
"""
ZONE = """\
$ORIGIN .
@ 3600 IN SOA ns hostmaster 1 7200 600 86400 300
example.org 60 IN NS ns.example.org
ns.example.org 60 IN A {here}
chat.example.org 60 IN A 192.0.2.1
1.2.0.192.in-addr.arpa 60 IN PTR chat.example.org
"""


class Clock(http.server.BaseHTTPRequestHandler):
    """A web server whose clock can be wrong."""

    ahead = 0.0

    def do_HEAD(self) -> None:
        """Answer with the time alone."""
        self.send_response_only(200)
        self.send_header("Date", self.date_time_string(time.time() + type(self).ahead))
        self.end_headers()


@dataclass
class World:
    """What one host sees of the world."""

    relay: Relay
    names: NameServer
    said: dict[str, Any]

    def findings(self, **changes: Any) -> dict[str, tuple[str, str]]:
        """Outcome and words of each check."""
        text = json.dumps(self.said | changes)
        printed = self.relay.host.run(f"{CURRENT}/bin/python", "-c", SCRIPT, stdin=text)
        found = json.loads(printed)
        return {
            check: (outcome, " ".join(words.split())) for check, (outcome, words) in found.items()
        }

    def wrong(self, **changes: Any) -> dict[str, tuple[str, str]]:
        """Those that are not OK."""
        found = self.findings(**changes)
        return {check: each for check, each in found.items() if each[0] != "ok"}


@contextmanager
def _in_a_thread(server: Any) -> Iterator[int]:
    """Serve while this lasts; the port."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def _greeting(address: str) -> Iterator[int]:
    """A mail server, as far as its greeting; its port."""
    with socket.create_server((address, 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            listener.settimeout(0.05)
            while not ended.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                with client:
                    client.sendall(b"220 mx.example.net\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
        thread.join()


@pytest.fixture
def world(relay: Relay) -> Iterator[World]:
    here = relay.host.network.here
    names = NameServer(ZONE.format(here=here))
    with ExitStack() as stack:
        port = stack.enter_context(serving({here: names}))
        clock = stack.enter_context(_in_a_thread(http.server.HTTPServer((here, 0), Clock)))
        smtp = stack.enter_context(_greeting(here))
        said = {"domain": DOMAIN, "here": here, "port": port, "smtp": smtp}
        said |= {"clock": f"http://{here}:{clock}/", "addresses": [ADDRESS]}
        yield World(relay, names, said)
        Clock.ahead = 0.0


def test_a_relay_passes_the_checks_of_its_own_host(world: World) -> None:
    """Its own programs hold the ports, and its own Postfix is no other mail system."""
    found = world.findings()
    assert world.wrong() == {}
    assert found["release"][1].startswith("release: Debian GNU/Linux 1")
    assert found["clock"][1].endswith(" OK")


def test_each_fault_of_the_network_is_seen(world: World) -> None:
    """All at once: the checks do not depend on each other."""
    right = world.names.text
    world.names.text = right.replace("IN A 192.0.2.1", "IN A 192.0.2.9").replace(
        "PTR chat.", "PTR static."
    )
    world.names.text += "1.2.0.192.list.example 60 IN A 127.0.0.2\n"
    world.names.text += f"{DOMAIN} 60 IN AAAA 2001:db8::1\n"
    Clock.ahead = 4000.0
    with socket.create_server((world.said["here"], 0)) as closed:
        port = closed.getsockname()[1]
    wrong = world.wrong(smtp=port)
    assert {check: outcome for check, (outcome, _) in wrong.items()} == {
        "clock": "error",
        "addresses": "error",
        "reverse-name": "warning",
        "ipv6": "error",
        "port-25": "error",
        "block-lists": "warning",
    }
    for check, words in {
        "clock": "timedatectl set-ntp true",
        "addresses": "It names 192.0.2.9; this host has 192.0.2.1 only.",
        "reverse-name": "192.0.2.1 is static.example.org WARNING",
        "ipv6": "The AAAA record (2001:db8::1)",
        "port-25": "Ask the provider to open outgoing port 25",
        "block-lists": "192.0.2.1 is on list.example (127.0.0.2)",
    }.items():
        assert words in wrong[check][1]


def test_no_reverse_name(world: World) -> None:
    world.names.text = world.names.text.replace("1.2.0.192.in-addr", "2.2.0.192.in-addr")
    assert "192.0.2.1 is nobody" in world.wrong()["reverse-name"][1]


def test_a_foreign_program_at_a_port_is_named(world: World) -> None:
    host = world.relay.host
    host.systemctl("stop", "nginx")
    host.run("systemd-run", "--quiet", "--unit=foreign", "python3", "-m", "http.server", "80")
    try:
        host.shell("until ss -ltn | grep -q ':80 '; do sleep 0.05; done")
        outcome, words = world.wrong()["ports"]
    finally:
        host.systemctl("stop", "foreign")
        host.systemctl("start", "nginx")
    assert outcome == "error"
    assert words.startswith("ports: 80 is taken by python3 ERROR The relay needs 80 for HTTP.")


def test_the_trap_of_127_0_1_1_is_seen(world: World) -> None:
    host = world.relay.host
    hosts = host.run("cat", "/etc/hosts")
    host.write("/etc/hosts", f"127.0.1.1 {DOMAIN}\n{hosts}")
    try:
        outcome, words = world.wrong()["host-name"]
    finally:
        host.write("/etc/hosts", hosts)
    assert outcome == "warning"
    assert f"/etc/hosts says that {DOMAIN} is 127.0.1.1" in words


def test_too_little_memory_is_seen(world: World) -> None:
    """As the kernel of a small host would say it: a container has this machine's."""
    host = world.relay.host
    host.write("/run/meminfo", "MemTotal:         307200 kB\n")
    host.run("mount", "--bind", "/run/meminfo", "/proc/meminfo")
    try:
        outcome, words = world.wrong()["memory"]
    finally:
        host.run("umount", "/proc/meminfo")
    assert (outcome, "300 MB ERROR" in words) == ("error", True)
