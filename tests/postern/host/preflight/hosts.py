"""The facts of a host that has everything right."""

from ipaddress import ip_address

from postern.host.dns.answers import Answer, Kind, View
from postern.host.preflight.facts import ClockReading, Disk, Facts, Listing, Outgoing, System

DOMAIN = "chat.example.org"
IPV4, IPV6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
MB = 1 << 20


def view(
    *addresses: str,
    server: str = "ns1.example.org",
    kind: Kind = Kind.AUTHORITATIVE,
    failure: str = "",
    alias: str = "",
) -> View:
    """What a name server answers for the domain."""
    by_family = {
        "A": tuple(each for each in addresses if ":" not in each),
        "AAAA": tuple(each for each in addresses if ":" in each),
    }
    return View(
        server,
        kind,
        {
            (DOMAIN, family): Answer(found, 300, alias, failure)
            for family, found in by_family.items()
        },
    )


GOOD = Facts(
    domain=DOMAIN,
    installed=False,
    system=System("debian", "13", "Debian GNU/Linux 13 (trixie)", "x86_64", has_systemd=True),
    memory=470 * MB,
    disks=(Disk("/", 8000 * MB), Disk("/home", 9000 * MB)),
    clocks=(ClockReading("deb.debian.org", 0.4),),
    listeners=(),
    host_name="vm",
    names={"localhost": ("127.0.0.1", "::1"), "vm": ("127.0.1.1",)},
    local=(IPV4, IPV6),
    others=(),
    views=(
        view(str(IPV4), str(IPV6)),
        view(str(IPV4), str(IPV6), server="9.9.9.9", kind=Kind.RESOLVER),
    ),
    reverse={each: Answer((f"{DOMAIN}.",)) for each in (IPV4, IPV6)},
    outgoing=(Outgoing("mx.example.net", ""),),
    ipv6_failure="",
    listings=(Listing("list.example", IPV4, Answer()),),
    mail_systems=(),
)
