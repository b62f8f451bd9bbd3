"""filtermail in this process on a free port, between clients and a scripted reinject service."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from filtermail.daemon import run
from filtermail.gate.grammar import Direction
from relay.config import Config
from relay.life.sockets import open_tcp
from relay.mailbox.directory import ENFORCE, PASSWORD, prepare_root
from relay.owner import Owner
from tests.filtermail.gate.building import SENDER, message
from tests.filtermail.proxy.dialogue import Client, Reply
from tests.filtermail.proxy.scripted import Reinject
from tests.filtermail.proxy.spawning import Spawned, configure, spawned
from tests.support import DEADLINE

DOMAIN = "relay.example"
RECIPIENT = "bob@other.example"


@dataclass
class Running:
    """An instance of filtermail that runs."""

    port: int
    shutdown: asyncio.Event
    task: asyncio.Task[None]

    async def stop(self) -> None:
        """Shut it down, and see it end."""
        self.shutdown.set()
        async with asyncio.timeout(DEADLINE):
            await self.task


Start = Callable[..., Awaitable[Running]]
Spawn = Callable[..., Awaitable[Spawned]]
Connect = Callable[..., Awaitable[Client]]


@pytest.fixture(autouse=True)
def discreet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does to the proxy: no address and no traceback gets into the log."""
    caplog.set_level(logging.INFO)
    yield
    log = "\n".join(
        f"{record.levelname} {record.name} {record.getMessage()}"
        for record in caplog.get_records("call")
    )
    assert "ERROR" not in log
    assert "Traceback" not in log
    assert "@" not in log
    assert "127.0.0.1" not in log


@pytest.fixture
async def reinject() -> AsyncIterator[Reinject]:
    server = Reinject()
    await server.start()
    yield server
    await server.stop()


MakeMailbox = Callable[..., Path]


@pytest.fixture
def mailbox(tmp_path: Path) -> MakeMailbox:
    """Make a mailbox as existing relays have it on their disk."""

    def make(address: str, *, enforce: bool = True) -> Path:
        path = tmp_path / "mail" / address
        prepare_root(path.parent, Owner(os.geteuid(), os.getegid()))
        path.mkdir(parents=True)
        (path / PASSWORD).write_text("{SHA512-CRYPT}$6$salt$hash")
        if enforce:
            (path / ENFORCE).touch()
        return path

    return make


@pytest.fixture
async def start(reinject: Reinject, tmp_path: Path) -> AsyncIterator[Start]:
    """Start an instance: `await start(direction, **what the configuration has otherwise)`."""
    instances: list[Running] = []

    async def _start(direction: Direction = Direction.OUTGOING, **changes: Any) -> Running:
        values: dict[str, Any] = {
            "mail_domain": DOMAIN,
            "max_user_send_burst_size": 1000,
            "mailboxes_dir": tmp_path / "mail",
            "postfix_reinject_port": reinject.port,
            "postfix_reinject_port_incoming": reinject.port,
        }
        listener = open_tcp("127.0.0.1", 0)
        port = listener.getsockname()[1]
        shutdown = asyncio.Event()
        task = asyncio.create_task(
            run(direction, {"smtp": listener}, Config(**values | changes), shutdown)
        )
        instances.append(Running(port, shutdown, task))
        return instances[-1]

    yield _start
    for instance in instances:
        await instance.stop()


@pytest.fixture
async def spawn(reinject: Reinject, tmp_path: Path) -> AsyncIterator[Spawn]:
    """Start an instance as a process: `await spawn(direction, domain=...)`."""
    async with contextlib.AsyncExitStack() as processes:

        async def _spawn(direction: str = "outgoing", domain: str = DOMAIN) -> Spawned:
            config = configure(tmp_path, reinject.port, domain=domain)
            return await processes.enter_async_context(spawned(config, direction))

        yield _spawn


@pytest.fixture
async def connect(start: Start) -> AsyncIterator[Connect]:
    """Connect: `await connect(an instance that runs)`, by default to an outgoing one."""
    clients: list[Client] = []
    default: list[Running] = []

    async def _connect(instance: Running | Spawned | None = None) -> Client:
        if instance is None:
            default[:] = default or [await start()]
        clients.append(await Client.open((instance or default[0]).port))
        return clients[-1]

    yield _connect
    for client in clients:
        await client.close()


@pytest.fixture
async def client(connect: Connect) -> Client:
    """A client of an outgoing instance."""
    return await connect()


async def submit(client: Client, content: bytes = message()) -> Reply:
    """Send a message of the usual sender to the usual recipient."""
    return await client.submit(content, SENDER, [RECIPIENT])
