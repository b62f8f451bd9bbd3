"""What Dovecot's Lua asks over HTTP, and what it is answered."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from doveauth.edges.http import NOBODY, Lookups
from doveauth.registrar import Registrar
from doveauth.stores.protocol import Account
from relay.address import Address
from relay.life.sockets import open_unix
from relay.life.webserver import WebServer
from relay.owner import Owner
from tests.doveauth.registrars import registrar, terms
from tests.doveauth.stores.memory import MemoryAccounts

NAME = "someone12@example.org"
ACCOUNT = Account(NAME, Path("/mail", NAME), "{SHA512-CRYPT}$6$x$y")


class Unforeseen(MemoryAccounts):
    """A store with a bug, once it has one."""

    bug: Exception | None = None

    def _check(self, address: Address) -> None:
        if self.bug:
            raise self.bug
        super()._check(address)

    async def names(self) -> list[str]:
        if self.bug:
            raise self.bug
        return await super().names()


@pytest.fixture
def store() -> Unforeseen:
    store = Unforeseen()
    store.accounts[Address.parse(NAME)] = ACCOUNT
    return store


@pytest.fixture
async def dovecot(socket_dir: Path, store: Unforeseen) -> AsyncIterator[aiohttp.ClientSession]:
    async with registrar(terms(), store) as accounts:
        server = WebServer(Lookups(accounts, Owner(8, 9)).answer)
        await server.start(open_unix(socket_dir / "lookups"))
        connector = aiohttp.UnixConnector(str(socket_dir / "lookups"))
        async with aiohttp.ClientSession("http://doveauth", connector=connector) as session:
            yield session
        await server.stop()


async def test_a_login_is_answered_with_the_hash_and_a_userdb_lookup_is_not(
    dovecot: aiohttp.ClientSession,
) -> None:
    form = {"username": NAME, "password": "pass\nword=&é", "remote": "2001:db8::1"}
    async with dovecot.post("/passdb", data=form) as answer:
        lines = (await answer.text()).splitlines()
    userdb = [f"addr={NAME}", f"home=/mail/{NAME}", "uid=8", "gid=9"]
    assert lines == [*userdb, f"password={ACCOUNT.password_hash}"]
    async with dovecot.post("/userdb", data={"username": NAME}) as answer:
        assert (await answer.text()).splitlines() == userdb


async def test_octets_reach_the_registrar_as_they_are(
    dovecot: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, str | None]] = []

    async def login(
        _: Registrar, username: str, password: str, remote: str | None = None
    ) -> Account | None:
        asked.append((username, password, remote))
        return ACCOUNT

    monkeypatch.setattr(Registrar, "login", login)
    for body in (
        b"username=someone12%40example.org&password=%FF%00x&remote=",
        b"username=a&password=pass%0Aword%3D%26%C3%A9&remote=2001%3Adb8%3A%3A1",
    ):
        async with dovecot.post("/passdb", data=body) as answer:
            assert answer.status == 200
    assert asked == [(NAME, "\udcff\0x", None), ("a", "pass\nword=&é", "2001:db8::1")]


async def test_nobody_is_a_404_that_says_so(
    dovecot: aiohttp.ClientSession, store: Unforeseen
) -> None:
    store.accounts.clear()
    for path in ("/passdb", "/userdb"):
        async with dovecot.post(path, data={"username": "x", "password": "y"}) as answer:
            assert (answer.status, await answer.text()) == (404, NOBODY)
    async with dovecot.get("/users") as answer:
        assert (answer.status, await answer.text()) == (200, "")


@pytest.mark.parametrize("trouble", ["disk", "bug"])
async def test_what_cannot_be_answered_now_is_503_and_never_404(
    dovecot: aiohttp.ClientSession,
    store: Unforeseen,
    trouble: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if trouble == "disk":
        store.trouble = OSError(5, "nothing works", f"/mail/{NAME}")
    else:
        store.bug = RuntimeError(f"a bug with {NAME}")
    for path, form in (
        ("/passdb", {"username": NAME, "password": "x"}),
        ("/userdb", {"username": NAME}),
    ):
        async with dovecot.post(path, data=form) as answer:
            assert answer.status == 503
            assert NAME not in await answer.text()
    async with dovecot.get("/users") as answer:
        assert answer.status == 503
    assert NAME not in caplog.text


@pytest.mark.parametrize("body", [b"", b"username=a", b"password=b", b"\xff\xfe", b"x" * 300_000])
async def test_what_is_no_question_is_neither_a_yes_nor_a_no(
    dovecot: aiohttp.ClientSession, body: bytes
) -> None:
    async with dovecot.post("/passdb", data=body) as answer:
        assert answer.status in (400, 413)


async def test_a_question_that_is_not_understood_is_never_a_404_and_warned_of_once(
    dovecot: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    for method, path in (
        ("POST", "/"),
        ("POST", "/passdb/"),
        ("GET", "/passdb"),
        ("POST", "/v2/userdb"),
        ("GET", "/userdb"),
        ("POST", "/userdb"),
    ):
        async with dovecot.request(method, path) as answer:
            assert answer.status == 400, path
    assert len(caplog.messages) == 1
    assert "not understood" in caplog.text


async def test_everybody_is_listed(dovecot: aiohttp.ClientSession, store: Unforeseen) -> None:
    await store.create(Address.parse("another12@example.org"), "x")
    async with dovecot.get("/users") as answer:
        assert await answer.text() == f"{NAME}\nanother12@example.org\n"


async def test_a_client_that_hangs_up_is_no_fault(
    dovecot: aiohttp.ClientSession, socket_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_unix_connection(str(socket_dir / "lookups"))
    writer.write(b"POST /passdb HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nusername=")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    async with dovecot.get("/users") as answer:
        assert answer.status == 200
    await asyncio.sleep(0.05)
    assert caplog.messages == []
