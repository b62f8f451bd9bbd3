"""The networks that a client is in, and how many accounts each may make. Pure.

One address is no measure: an IPv6 host has 2^64 of them, and a handful in IPv4 cost little. A
network is an address cut to a prefix, IPv4 /24 and IPv6 /64 unless configured. Thousands of honest
people may share one IPv4 network (carrier-grade NAT), so the limit is generous.

An IPv6 customer gets a /56 or a /48, and a provider a /32 or more. So an IPv6 client counts in its
own network, in its /48 with the same limit, and in its /32 with a wider one. An address that
carries an IPv4 address (6to4, Teredo, mapped ones) counts as that.
"""

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

from relay.ratelimit import Limiter

MAX_NETWORKS = 20_000
"""Networks remembered at a time; those nearest to a full allowance are forgotten first."""
SITE_BITS, PROVIDER_BITS = 48, 32
"""Of IPv6 (RFC 6177; RIPE-738, 5.1)."""
PROVIDER_SHARE = 10
"""How many times the allowance of a network a whole provider gets."""
UNREADABLE = "unreadable"
"""Clients whose address is no address share one allowance."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Bits of an address that name its network."""

    ipv4: int
    ipv6: int


class Networks(NamedTuple):
    """The networks that one client counts in."""

    own: tuple[str, ...] = ()
    provider: str | None = None


def networks_of(remote: str, prefixes: Prefixes) -> Networks:
    """Return the networks of an address as Dovecot or the web server passes it on.

    None for loopback: a proxy or the relay's own programs are there, and everybody behind them
    would share one allowance.
    """
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return Networks((UNREADABLE,))
    if isinstance(address, ipaddress.IPv6Address):
        address = _inside(address) or address
    if address.is_loopback:
        return Networks()
    # By its number: a link-local address may carry its interface, which is no part of a network.
    number = int(address)
    if isinstance(address, ipaddress.IPv4Address):
        return Networks((str(ipaddress.IPv4Network((number, prefixes.ipv4), strict=False)),))
    bits = sorted({prefixes.ipv6, min(prefixes.ipv6, SITE_BITS)})
    own = tuple(str(ipaddress.IPv6Network((number, each), strict=False)) for each in bits)
    if prefixes.ipv6 <= PROVIDER_BITS:
        return Networks(own)
    return Networks(own, str(ipaddress.IPv6Network((number, PROVIDER_BITS), strict=False)))


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the client's IPv4 address that a transition address carries (RFC 3056, RFC 4380)."""
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


class NetworkLimit:
    """Counts clients in all their networks at once."""

    def __init__(self, prefixes: Prefixes, own: Limiter, provider: Limiter) -> None:
        """`own` limits each network, `provider` each IPv6 provider."""
        self._prefixes = prefixes
        self._own = own
        self._provider = provider

    async def allow(self, remote: str | None) -> bool:
        """Count one more of a client at `remote` and return True, or False where it is too many.

        A client without an address (None: the relay's own programs) is not limited.
        """
        taken: list[tuple[Limiter, str]] = []
        for limiter, network in self._all(remote):
            if not await limiter.allow(network):
                for each, counted in taken:
                    await each.refund(counted)
                return False
            taken.append((limiter, network))
        return True

    async def refund(self, remote: str | None) -> None:
        """Take back what was allowed and came to nothing."""
        for limiter, network in self._all(remote):
            await limiter.refund(network)

    def _all(self, remote: str | None) -> list[tuple[Limiter, str]]:
        if remote is None:
            return []
        own, provider = networks_of(remote, self._prefixes)
        limits = [(self._own, network) for network in own]
        return [(self._provider, provider), *limits] if provider else limits
