"""Names that are no names, by dict and over HTTP: nothing is made, nobody harmed."""

import asyncio
import contextlib
import json
import os
import pwd
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import aiohttp
import pytest

from doveauth.daemon import AUTH, LAST_LOGIN, LOOKUPS, run
from relay.config import read_config
from relay.dovecot.dictproto import escape
from relay.life.sockets import open_unix
from tests.support import DEADLINE, DictClient, dict_client

DOMAIN = "example.org"
GOOD = f"someone12@{DOMAIN}"
HOSTILE = [
    "",
    "@",
    f"@{DOMAIN}",
    "someone12",
    "someone12@",
    f"../../../x@{DOMAIN}",
    f"..@{DOMAIN}",
    f"a/b/c/d/e@{DOMAIN}",
    f"/etc/pass@{DOMAIN}",
    f"someone12@{DOMAIN}/..",
    f"someone12@{DOMAIN}/../../x",
    f"some\0ne12@{DOMAIN}",
    f"someone12@{DOMAIN}\0",
    f"some\nne12@{DOMAIN}",
    f"some\tne12@{DOMAIN}",
    f"some\rne12@{DOMAIN}",
    f"someone1\x7f@{DOMAIN}",
    f"some ne12@{DOMAIN}",
    f"ѕomeone12@{DOMAIN}",
    f"someone1\u0308@{DOMAIN}",
    f"someone1\u200b@{DOMAIN}",
    f"someone1\udcff@{DOMAIN}",
    f"\u202esomeone1@{DOMAIN}",
    f"\uff53omeone12@{DOMAIN}",
    f"\u017fomeone12@{DOMAIN}",
    f"someone\u212a1@{DOMAIN}",
    f"\u0131nside123@{DOMAIN}",
    f"someone\u00b92@{DOMAIN}",
    f"someone1\uff0e@{DOMAIN}",
    f"someone12\uff20{DOMAIN}",
    "someone12@ex\u0430mple.org",
    f"someone12@{DOMAIN}.",
    f"someone12@{DOMAIN}..",
    f"someone12.@{DOMAIN}.",
    f"someone12@.{DOMAIN}",
    f"someone1.@{DOMAIN}",
    f".someone1@{DOMAIN}",
    f"some..e12@{DOMAIN}",
    "someone12@ⓔxample.org",
    f"some+tag1@{DOMAIN}",
    f"someone12+tag@{DOMAIN}",
    f"+someone1@{DOMAIN}",
    f"some+tag1@{DOMAIN}x",
    f"{'a' * 10_000}@{DOMAIN}",
    f"someone12@{'a' * 10_000}.org",
    f"a@b@{DOMAIN}",
    f"postmaster@{DOMAIN}",
    f"mailer-daemon@{DOMAIN}",
    f"POSTMASTER@{DOMAIN}",
    f"aBuSe@{DOMAIN}",
    f".expired.someone12@{DOMAIN}~",
    f".removing.12@{DOMAIN}",
    f"password@{DOMAIN}/password",
    "someone12@example.com",
    f"-rf -rf -@{DOMAIN}",
    f"*@{DOMAIN}",
    f'someone12@{DOMAIN}"other',
]


class Dovecot(Protocol):
    """What asks doveauth, by one of its two protocols."""

    async def logs_in(self, name: str) -> str | None:
        """The address that a login with that name is told it has; None where it is refused."""

    async def knows(self, name: str) -> bool:
        """Whether there is such a user."""


class ByDict:
    """Dovecot 2.3."""

    def __init__(self, client: DictClient) -> None:
        self._client = client

    async def logs_in(self, name: str) -> str | None:
        return self._address(await self._ask(f'passdb/password1"{quoted(name)}"192.0.2.1', name))

    async def knows(self, name: str) -> bool:
        return self._address(await self._ask(f"userdb/{quoted(name)}", name)) is not None

    async def _ask(self, key: str, name: str) -> bytes:
        return await self._client.ask(b"L" + escape(f"shared/{key}") + b"\t" + escape(name))

    @staticmethod
    def _address(answer: bytes) -> str | None:
        assert answer[:1] in (b"N", b"O"), "neither a fault nor a temporary failure"
        return str(json.loads(answer[1:])["addr"]) if answer[:1] == b"O" else None


class OverHttp:
    """Dovecot 2.4's Lua."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def logs_in(self, name: str) -> str | None:
        return await self._ask("passdb", f"username={octets(name)}&password=password1&remote=")

    async def knows(self, name: str) -> bool:
        return await self._ask("userdb", f"username={octets(name)}") is not None

    async def _ask(self, path: str, form: str) -> str | None:
        async with self._session.post(f"/{path}", data=form.encode()) as answer:
            assert answer.status in (200, 404)
            text = await answer.text()
        fields = dict(line.split("=", 1) for line in text.splitlines()) if text else {}
        return fields.get("addr") if answer.status == 200 else None


@pytest.fixture(params=["dict", "http"])
async def dovecot(request: pytest.FixtureRequest, socket_dir: Path) -> AsyncIterator[Dovecot]:
    config = socket_dir / "chatmail.ini"
    config.write_text(
        f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {socket_dir}/in/mail\n"
        f"mailboxes_user = {pwd.getpwuid(os.geteuid()).pw_name}\n"
        f"nocreate_path = {socket_dir}/nocreate\nmax_load_1m = 1000\n"
        "min_available_memory = 1M\nmin_free_disk_space = 1M\n"
        "username_min_length = 1\nusername_max_length = 64\n"
    )
    shutdown = asyncio.Event()
    listeners = {name: open_unix(socket_dir / name) for name in (AUTH, LAST_LOGIN, LOOKUPS)}
    task = asyncio.create_task(run(listeners, read_config(config), shutdown))
    try:
        async with contextlib.AsyncExitStack() as stack:
            made: Dovecot
            if request.param == "dict":
                made = ByDict(await stack.enter_async_context(dict_client(socket_dir / AUTH)))
            else:
                connector = aiohttp.UnixConnector(str(socket_dir / LOOKUPS))
                session = aiohttp.ClientSession("http://doveauth", connector=connector)
                made = OverHttp(await stack.enter_async_context(session))
            # The daemon is up, and has made its directory.
            assert not await made.knows(GOOD)
            yield made
    finally:
        shutdown.set()
        async with asyncio.timeout(DEADLINE):
            await task


def quoted(text: str) -> str:
    r"""As Dovecot's %E writes it: a backslash before \, " and '."""
    return "".join(f"\\{c}" if c in "\\\"'" else c for c in text)


def octets(text: str) -> str:
    """As our Lua writes it in a form."""
    return quote(text, safe="", errors="surrogateescape")


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:24]))
async def test_no_account_and_no_file_is_made(
    dovecot: Dovecot, socket_dir: Path, name: str
) -> None:
    before = files(socket_dir)
    assert await dovecot.logs_in(name) is None
    assert not await dovecot.knows(name)
    async with dict_client(socket_dir / LAST_LOGIN) as client:
        change = escape(f"shared/last-login/{name}") + b"\t1795332101\nC1"
        assert (await client.ask(b"B1\tx\nS1\t" + change))[:1] == b"O"
    assert files(socket_dir) == before
    # And others are served as ever.
    assert await dovecot.logs_in(GOOD) == GOOD


async def test_upper_case_is_the_same_account(dovecot: Dovecot, socket_dir: Path) -> None:
    for name in (GOOD, GOOD.upper(), "SomeOne12@Example.Org"):
        assert await dovecot.logs_in(name) == GOOD
        assert await dovecot.knows(name)
    assert [path.name for path in (socket_dir / "in" / "mail").iterdir()] == [GOOD]
