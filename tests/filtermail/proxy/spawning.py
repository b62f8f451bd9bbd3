"""filtermail as a process of its own, by its command line."""

import asyncio
import re
import signal
import socket
import sys
from pathlib import Path

from tests.filtermail.proxy.dialogue import PATIENCE


def free_port() -> int:
    """A port that nothing listens on, and that the kernel gives to no outgoing connection."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in range(low - 1, 1024, -1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port is in use")


class Spawned:
    """A process that runs, and what it logs."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.log = ""

    @classmethod
    async def start(cls, directory: Path, reinject_port: int, direction: str) -> "Spawned":
        """Start it, and wait until it says that it is up."""
        port = free_port()
        config = directory / "chatmail.ini"
        config.write_text(
            "[params]\nmail_domain = relay.example\nmax_user_send_burst_size = 1000\n"
            f"mailboxes_dir = {directory}/mail\n"
            f"filtermail_smtp_port = {port}\nfiltermail_smtp_port_incoming = {port}\n"
            f"postfix_reinject_port = {reinject_port}\n"
            f"postfix_reinject_port_incoming = {reinject_port}\n"
        )
        arguments = ["-m", "filtermail", direction, "--config", str(config)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stderr=asyncio.subprocess.PIPE
        )
        spawned = cls(process, port)
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while f"filtermail {direction} is up" not in spawned.log:
                line = await process.stderr.readline()
                assert line, f"it ended: {spawned.log}"
                spawned.log += line.decode()
        return spawned

    @property
    def peak(self) -> int:
        """The most memory it ever had resident, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+([0-9]+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def terminate(self) -> None:
        """What systemd does to end a service."""
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait for its end; its exit code. `log` is whole then."""
        async with asyncio.timeout(PATIENCE):
            _, rest = await self._process.communicate()
        self.log += rest.decode()
        assert self._process.returncode is not None
        return self._process.returncode

    async def stop(self) -> None:
        """End it, if it has not ended by itself."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()
