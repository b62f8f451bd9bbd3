"""All checks by their names. Pure."""

from collections.abc import Callable, Collection

from postern.host.preflight.facts import Facts
from postern.host.preflight.findings import Finding, Outcome
from postern.host.preflight.machine import clock, disk, mail_system, memory, ports, release
from postern.host.preflight.network import (
    addresses,
    block_lists,
    host_name,
    ipv6,
    outgoing,
    reverse_name,
)

CHECKS: dict[str, Callable[[Facts], Finding]] = {
    "release": release,
    "memory": memory,
    "disk": disk,
    "clock": clock,
    "ports": ports,
    "mail-system": mail_system,
    "host-name": host_name,
    "addresses": addresses,
    "reverse-name": reverse_name,
    "ipv6": ipv6,
    "port-25": outgoing,
    "block-lists": block_lists,
}
"""In the order in which they are shown."""


class UnknownCheck(ValueError):
    """No check has that name; the message lists them."""


def ensure_known(names: Collection[str]) -> None:
    """Raise UnknownCheck for what is not the name of a check."""
    if unknown := sorted(set(names) - set(CHECKS)):
        raise UnknownCheck(f"there is no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")


def judge(facts: Facts, skip: Collection[str] = ()) -> list[Finding]:
    """The finding of each check, whatever the others find; raises UnknownCheck."""
    ensure_known(skip)
    return [
        Finding(name, Outcome.SKIPPED, "as you wish") if name in skip else check(facts)
        for name, check in CHECKS.items()
    ]
