"""What the tests of the metadata service share: a gateway, mailboxes, a running daemon."""

import asyncio
import contextlib
import os
import pwd
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from metadata.daemon import run
from metadata.push.queue import FILE, SqlitePushQueue
from metadata.tokens.files import FileTokenStore
from relay.config import Config, parse_config
from relay.life.sockets import open_unix
from relay.mailbox.directory import Mailboxes, prepare_root
from relay.owner import Owner
from tests.metadata.gateway import Gateway
from tests.support import DEADLINE

DOMAIN = "example.org"


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway that takes every push."""
    server = Gateway()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def owner() -> Owner:
    """The user who runs the tests."""
    return Owner(os.geteuid(), os.getegid())


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    """The directory of all mailboxes, with one of alice in it."""
    root = tmp_path / "mail"
    prepare_root(root, Owner(os.geteuid(), os.getegid()))
    (root / f"alice@{DOMAIN}").mkdir()
    return root


@pytest.fixture
async def tokens(mail: Path, owner: Owner) -> AsyncIterator[FileTokenStore]:
    """A token store over `mail`."""
    store = FileTokenStore(Mailboxes(mail, DOMAIN), owner)
    yield store
    await store.close()


@pytest.fixture
async def queue(tmp_path: Path, owner: Owner) -> AsyncIterator[SqlitePushQueue]:
    """A queue on disk."""
    made = SqlitePushQueue(tmp_path / "state", owner)
    yield made
    await made.close()


@pytest.fixture
def pending(tmp_path: Path) -> Callable[[], int]:
    """How many pushes the database of `queue` owes, as another process sees it."""

    def count() -> int:
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE)) as database:
            number: int = database.execute("SELECT count(*) FROM push").fetchone()[0]
        return number

    return count


class Service:
    """The metadata service over real sockets, to be ended and started again."""

    def __init__(self, directory: Path, mail: Path) -> None:
        self.socket = directory / "metadata.sock"
        self.notify = directory / "notify.sock"
        self.state = directory / "state"
        self._mail = mail
        self._shutdown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, **settings: object) -> None:
        """Begin to serve; `settings` are keys of the configuration."""
        self._shutdown.clear()
        listeners = {
            "socket": open_unix(self.socket),
            "notify-socket": open_unix(self.notify),
        }
        config = configuration(self._mail, **settings)
        self._task = asyncio.create_task(run(listeners, config, self._shutdown, state=self.state))

    async def stop(self) -> None:
        """End as at SIGTERM."""
        self._shutdown.set()
        if self._task is not None:
            async with asyncio.timeout(DEADLINE):
                await self._task
        self._task = None


@pytest.fixture
async def service(socket_dir: Path, mail: Path) -> AsyncIterator[Service]:
    """A metadata service, not started yet."""
    made = Service(socket_dir, mail)
    yield made
    await made.stop()


def configuration(mail: Path, **settings: object) -> Config:
    """A relay's configuration."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    values = {"mail_domain": DOMAIN, "mailboxes_dir": mail, "mailboxes_user": user, **settings}
    lines = "".join(f"{key} = {value}\n" for key, value in values.items())
    return parse_config(f"[params]\n{lines}", "test")[0]


@pytest.fixture
def commandline(socket_dir: Path, mail: Path) -> Callable[[str], list[str]]:
    """The command line of a daemon for `mail` and the gateway at a URL."""

    def made(gateway: str) -> list[str]:
        config = socket_dir / "chatmail.ini"
        config.write_text(
            f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {mail}\n"
            f"mailboxes_user = {pwd.getpwuid(os.geteuid()).pw_name}\npush_gateway = {gateway}\n"
        )
        return [
            *("-m", "metadata", "--config", str(config)),
            *("--socket", str(socket_dir / "socket")),
            *("--notify-socket", str(socket_dir / "notify")),
            *("--state", str(socket_dir / "state")),
        ]

    return made
