"""A doveauth that runs in this process, and is asked as Dovecot and a web server ask it."""

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import aiohttp

from doveauth.daemon import LAST_LOGIN, LOOKUPS, NEW, run
from doveauth.invitations import Invitations
from relay.config import Config, read_config
from relay.life.metrics import METRICS
from relay.life.sockets import open_unix
from relay.mailbox.directory import prepare_root
from relay.owner import Owner
from tests.support import DEADLINE

DOMAIN = "example.org"
NAME = f"someone12@{DOMAIN}"
GOOD = "password1"


class Answer(NamedTuple):
    """An answer over HTTP."""

    status: int
    text: str

    @property
    def fields(self) -> dict[str, str]:
        """Those of a user."""
        assert self.status == 200, self
        return dict(line.split("=", 1) for line in self.text.splitlines())


class Relay:
    """A relay's directory, and the doveauth of it."""

    def __init__(self, directory: Path, extra: str = "", *, prepared: bool = True) -> None:
        """`extra` are lines of its configuration."""
        self.directory = directory
        self.config_path = directory / "chatmail.ini"
        lines = {
            "mail_domain": DOMAIN,
            "mailboxes_dir": f"{directory}/made/mail",
            "mailboxes_user": getpass.getuser(),
            "nocreate_path": f"{directory}/nocreate",
            "registration_state_dir": f"{directory}/state",
            "max_load_1m": "1000",
            "min_available_memory": "1M",
            "min_free_disk_space": "1M",
        }
        lines |= dict(line.split(" = ", 1) for line in extra.splitlines())
        text = "".join(f"{key} = {value}\n" for key, value in lines.items())
        self.config_path.write_text(f"[params]\n{text}")
        self.config: Config = read_config(self.config_path)
        self.mail = self.config.mailboxes_dir
        self.owner = Owner.named(getpass.getuser())
        if prepared:
            prepare_root(self.mail, self.owner)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Event]:
        shutdown = asyncio.Event()
        listeners = {
            name: open_unix(self.socket(name)) for name in (LOOKUPS, LAST_LOGIN, NEW, METRICS)
        }
        task = asyncio.create_task(run(listeners, self.config, shutdown))
        try:
            yield shutdown
        finally:
            shutdown.set()
            async with asyncio.timeout(DEADLINE):
                await task

    def socket(self, name: str) -> Path:
        return self.directory / name.removesuffix("-socket")

    def accounts(self) -> list[str]:
        """The names of what is in the directory of all mailboxes."""
        return sorted(path.name for path in self.mail.iterdir() if path.name != ".postern")

    def invite(self, uses: int = 1) -> str:
        return Invitations.of(self.config, self.owner).create(uses, None, "")[1]

    async def login(self, name: str = NAME, password: str = GOOD, remote: str = "") -> Answer:
        return await self.ask("/passdb", username=name, password=password, remote=remote)

    async def user(self, name: str = NAME) -> Answer:
        return await self.ask("/userdb", username=name)

    async def users(self) -> Answer:
        return await self.get(LOOKUPS, "/users")

    async def ask(self, path: str, **form: str) -> Answer:
        """Post a form as our Lua writes it."""
        body = "&".join(
            f"{name}={quote(text, safe='', errors='surrogateescape')}"
            for name, text in form.items()
        )
        return await self.request("POST", LOOKUPS, path, body.encode())

    async def get(self, socket: str, path: str) -> Answer:
        return await self.request("GET", socket, path)

    async def request(
        self, method: str, socket: str, path: str, body: bytes | None = None
    ) -> Answer:
        connector = aiohttp.UnixConnector(str(self.socket(socket)))
        async with (
            aiohttp.ClientSession("http://doveauth", connector=connector) as session,
            session.request(method, path, data=body) as answer,
        ):
            return Answer(answer.status, await answer.text())
