"""All checks by their names. Pure."""

from collections.abc import Callable, Collection

from postern.host.preflight import machine, network
from postern.host.preflight.facts import Facts
from postern.host.preflight.findings import Finding, Outcome

CHECKS: dict[str, Callable[[Facts], Finding]] = {
    "release": machine.release,
    "memory": machine.memory,
    "disk": machine.disk,
    "clock": machine.clock,
    "ports": machine.ports,
    "mail-system": machine.mail_system,
    "host-name": network.host_name,
    "addresses": network.addresses,
    "reverse-name": network.reverse_name,
    "ipv6": network.ipv6,
    "port-25": network.outgoing,
    "block-lists": network.block_lists,
}
"""In the order in which they are shown."""


class UnknownCheck(ValueError):
    """No check has that name; the message lists them."""


def judge(facts: Facts, skip: Collection[str] = ()) -> list[Finding]:
    """The finding of each check, whatever the others find; raises UnknownCheck."""
    if unknown := sorted(set(skip) - set(CHECKS)):
        raise UnknownCheck(f"there is no check {', '.join(unknown)}: {', '.join(CHECKS)}")
    return [
        Finding(name, Outcome.SKIPPED, "as you wish") if name in skip else check(facts)
        for name, check in CHECKS.items()
    ]
