"""A relay's zone with everything right, and the servers that have it."""

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from postern.host.dns.forms import as_zone
from postern.host.dns.records import DkimKey, Facts, wanted
from tests.postern.host.dns.server import NameServer, serving

DOMAIN = "chat.example.org"
ACCOUNT = "https://acme.example/acct/7"
KEY = base64.b64encode(bytes(range(256)) + bytes(38)).decode()
FACTS = Facts(
    addresses=(ip_address("192.0.2.1"), ip_address("2001:db8::1")),
    dkim=(DkimKey("20261125", KEY),),
    acme_account=ACCOUNT,
    reports_to=f"postmaster@{DOMAIN}",
)
HEAD = """\
$ORIGIN example.org.
@ 3600 IN SOA ns1 hostmaster 1 7200 600 86400 300
@ 3600 IN NS ns1
@ 3600 IN NS ns2
ns1 3600 IN A 127.0.0.2
ns2 3600 IN A 127.0.0.3
"""
PRIMARY, NS1, NS2, RESOLVER = "127.0.0.4", "127.0.0.2", "127.0.0.3", "127.0.0.1"


def zone_text(facts: Facts = FACTS) -> str:
    """The zone that has every record as `postern dns --zone` prints it."""
    return HEAD + as_zone(wanted(DOMAIN, facts))


@dataclass(frozen=True)
class World:
    """Two authoritative servers, a hidden primary, and a resolver."""

    port: int
    primary: NameServer
    ns1: NameServer
    ns2: NameServer
    resolver: NameServer

    @property
    def servers(self) -> tuple[NameServer, ...]:
        """All of them."""
        return self.primary, self.ns1, self.ns2, self.resolver

    def publish(self, text: str) -> None:
        """Give all servers this zone."""
        for server in self.servers:
            server.text = text


@contextlib.contextmanager
def world(text: str | None = None) -> Iterator[World]:
    """Run the servers with one zone."""
    text = zone_text() if text is None else text
    primary, ns1, ns2 = NameServer(text), NameServer(text), NameServer(text)
    resolver = NameServer(text, recursive=True, ttl=1234)
    with serving({RESOLVER: resolver, NS1: ns1, NS2: ns2, PRIMARY: primary}) as port:
        yield World(port, primary, ns1, ns2, resolver)
