"""Gathers the facts of this host, all at once; what does not answer is a fact too."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postern.host.dns import lookup
from postern.host.dns.answers import View, questions
from postern.host.dns.facts import local_addresses, own_addresses
from postern.host.dns.records import has_no_dns
from postern.host.install.manifest import MANIFEST
from postern.host.preflight import look_machine, look_network
from postern.host.preflight.facts import Facts, IPAddress
from postern.host.preflight.network import literal_address

CLOCKS = ("http://deb.debian.org/", "https://acme-v02.api.letsencrypt.org/directory")
MAIL_SERVERS = (("gmail-smtp-in.l.google.com", 25), ("nine.testrun.org", 25))
IPV6_TARGETS = (("2620:fe::fe", 53), ("2606:4700:4700::1111", 53))
BLOCK_LISTS = ("zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to look, and whom to ask; a test replaces each."""

    root: Path = Path("/")
    dns: lookup.Options = field(default_factory=lookup.Options)
    addresses: tuple[IPAddress, ...] = ()
    """The host's public addresses, where it cannot know them itself."""
    own_addresses: Callable[[], Sequence[IPAddress]] = own_addresses
    host_name: Callable[[], str] = socket.gethostname
    clocks: Sequence[str] = CLOCKS
    mail_servers: Sequence[tuple[str, int]] = MAIL_SERVERS
    ipv6_targets: Sequence[tuple[str, int]] = IPV6_TARGETS
    block_lists: Sequence[str] = BLOCK_LISTS
    seconds: float = 5.0
    """How long each server may take to answer."""


async def look(domain: str, options: Options) -> Facts:
    """All facts for a relay with this domain; takes as long as the slowest answer."""
    root, local = options.root, options.addresses or tuple(options.own_addresses())
    literal = literal_address(domain)
    public = tuple(dict.fromkeys((*local, *([literal] if literal else []))))
    private_lists = look_network.system_resolvers(root) or options.dns.resolvers
    lists = lookup.Options(
        resolvers=private_lists, port=options.dns.port, timeout=options.dns.timeout
    )
    async with asyncio.TaskGroup() as group:
        clocks = group.create_task(look_network.clocks(options.clocks, options.seconds))
        outgoing = [
            group.create_task(look_network.outgoing(*server, options.seconds, options.dns))
            for server in options.mail_servers
        ]
        views = group.create_task(_views(domain, options))
        ipv6 = group.create_task(_ipv6(local, options))
        reverse = [group.create_task(look_network.reverse(each, options.dns)) for each in public]
        listings = [
            group.create_task(look_network.listing(address, each, lists))
            for address in public
            for each in options.block_lists
        ]
    return Facts(
        domain=domain,
        installed=(root / MANIFEST.lstrip("/")).exists(),
        system=look_machine.system(root),
        memory=look_machine.memory(root),
        disks=look_machine.disks(root),
        clocks=clocks.result(),
        listeners=look_machine.listeners(root),
        host_name=options.host_name().lower(),
        names=look_machine.names(root),
        local=local,
        others=tuple(each for each in local_addresses(root) if each not in local),
        views=views.result(),
        reverse={each: task.result() for each, task in zip(public, reverse, strict=True)},
        outgoing=tuple(task.result() for task in outgoing),
        ipv6_failure=ipv6.result(),
        listings=tuple(task.result() for task in listings),
        mail_systems=look_machine.mail_systems(root),
    )


async def _views(domain: str, options: Options) -> tuple[View, ...]:
    if has_no_dns(domain):
        return ()
    return tuple(await lookup.look(domain, questions(domain, ()), options.dns))


async def _ipv6(local: Sequence[IPAddress], options: Options) -> str | None:
    if not any(address.version == 6 for address in local):
        return None
    return await look_network.ipv6_failure(options.ipv6_targets, options.seconds)
