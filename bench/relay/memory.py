"""The memory of a whole relay, at rest and with idle clients."""

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.relay import programs
from bench.relay.load import HIBERNATED_SECONDS, idle_clients
from bench.relay.stand import accounts
from sandbox.relay import Sandbox

INSTANCES = 65536
"""fs.inotify.max_user_instances of a host, as Postern's sysctl file sets it."""
_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a relay takes with so many idle clients, in MB of 10^6 octets (PSS)."""

    clients: int
    processes: int
    daemons: dict[str, float]

    @property
    def total(self) -> float:
        """The sum over all daemons."""
        return sum(self.daemons.values())


async def measure(sandbox: Sandbox, clients: int) -> Memory:
    """Let so many clients log in and idle. Raises BenchProblem."""
    async with idle_clients(sandbox, accounts(sandbox, clients)):
        await asyncio.sleep(HIBERNATED_SECONDS)
        daemons = await asyncio.to_thread(programs.memory, sandbox)
        return Memory(clients=clients, processes=programs.count(sandbox), daemons=daemons)


@contextlib.contextmanager
def limits_of_a_host() -> Iterator[None]:
    """Allow as many hibernated sessions as a host does, and a descriptor for each client."""
    before = _INSTANCES.read_text()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if int(before) < INSTANCES:
        _INSTANCES.write_text(f"{INSTANCES}\n")
    try:
        yield
    finally:
        _INSTANCES.write_text(before)
