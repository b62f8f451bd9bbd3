"""The memory that the four services take at rest, as the kernel counts it."""

import re

from tests.hosts.relay import SERVICES, Relay

MOST_MEGABYTES = 110.0
"""For all four together: 95 to 100 are taken, and one more library would be noticed.

The aim is 85. metadata imports aiohttp's server for its figures only, which is about 11 of them.
"""


def test_memory_at_rest(relay: Relay) -> None:
    """A page that several processes share counts in equal parts (PSS, proc_pid_smaps(5))."""
    relay.host.systemctl("restart", *SERVICES)
    taken = {service: _megabytes(relay, service) for service in SERVICES}
    total = sum(taken.values())
    relay.report(f"PSS {total:.1f} MB: {', '.join(f'{k} {v:.1f}' for k, v in taken.items())}")
    assert total < MOST_MEGABYTES, taken


def _megabytes(relay: Relay, service: str) -> float:
    pid = relay.host.systemctl("show", "--property=MainPID", "--value", service).strip()
    rollup = relay.host.run("cat", f"/proc/{pid}/smaps_rollup")
    found = re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)
    assert found, rollup
    return int(found[1]) / 1000
