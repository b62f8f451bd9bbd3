"""filtermail as a process of its own, by its command line."""

import asyncio
import contextlib
import re
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from relay.life.sockets import open_tcp
from tests.support import Daemon, daemon, eventually


class Spawned:
    """A process that runs, and what it logs."""

    def __init__(self, started: Daemon, port: int) -> None:
        self._daemon = started
        self.port = port

    @property
    def log(self) -> str:
        return self._daemon.log

    @property
    def peak(self) -> int:
        """The most memory it ever had resident, in bytes."""
        status = Path(f"/proc/{self._daemon.process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+([0-9]+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def limit_descriptors(self, free: int) -> None:
        """Leave it no more than `free` descriptors beyond those that it has open."""
        pid = self._daemon.process.pid
        held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + free, most))

    def terminate(self) -> None:
        """What systemd does to end a service."""
        self._daemon.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait for its end, while the loop turns; its exit code. `log` is whole then."""
        return await asyncio.to_thread(self._daemon.wait)


def configure(
    directory: Path, reinject_port: int, port: int = 10080, domain: str = "relay.example"
) -> Path:
    """Write a configuration; its path."""
    config = directory / "chatmail.ini"
    config.write_text(
        f"[params]\nmail_domain = {domain}\nmax_user_send_burst_size = 1000\n"
        f"mailboxes_dir = {directory}/mail\n"
        f"filtermail_smtp_port = {port}\nfiltermail_smtp_port_incoming = {port}\n"
        f"postfix_reinject_port = {reinject_port}\n"
        f"postfix_reinject_port_incoming = {reinject_port}\n"
    )
    return config


@contextlib.asynccontextmanager
async def spawned(config: Path, direction: str) -> AsyncIterator[Spawned]:
    """Run it on a free port, which it is passed as systemd does."""
    listener = open_tcp("127.0.0.1", 0)
    port = listener.getsockname()[1]
    arguments = ["-m", "filtermail", direction, "--config", str(config)]
    with daemon(arguments, sockets={"smtp": listener}) as started:
        # Only the process is to listen, so that there is nobody any more once it has ended.
        listener.close()
        await eventually(lambda: " is up on " in started.log, "its start")
        yield Spawned(started, port)
