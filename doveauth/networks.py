"""The network that a client is in, and how many accounts it may make. Pure.

One address is no measure: an IPv6 host has 2^64 of them, and a handful in IPv4 cost little. A
network is an address cut to a prefix, IPv4 /24 and IPv6 /64 unless configured. Behind one IPv4
network may be thousands of honest people (carrier-grade NAT), so that the limit is generous.
"""

import ipaddress
from dataclasses import dataclass

from relay.ratelimit import RateLimiter

MAX_NETWORKS = 20_000
"""Networks remembered at a time; those nearest to a full allowance are forgotten first."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Bits of an address that name its network."""

    ipv4: int
    ipv6: int


def network_of(remote: str, prefixes: Prefixes) -> str | None:
    """The network of an address as Dovecot passes it on.

    None for what has none: no address (`doveadm auth test`), a name, or loopback, where a proxy
    or the relay's own programs are, behind which everybody would share one allowance.
    """
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return None
    # By its number: a link-local address may carry its interface, which is no part of a network.
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), prefixes.ipv6), strict=False))
    return str(ipaddress.IPv4Network((int(address), prefixes.ipv4), strict=False))


class NetworkLimit:
    """Allows each network so many creations an hour, all of them at once if it likes."""

    def __init__(self, per_hour: int, prefixes: Prefixes) -> None:
        self._prefixes = prefixes
        self._limiter = RateLimiter(per_hour / 60, per_hour, MAX_NETWORKS)

    def allow(self, remote: str | None, now: float) -> bool:
        """Whether a client may make one more at `now` (seconds of a monotonic clock)."""
        network = network_of(remote, self._prefixes) if remote else None
        return network is None or self._limiter.allow(network, now)
