"""What Dovecot 2.4's Lua asks over HTTP, and what it is answered."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from doveauth.edges.answers import Answers
from doveauth.edges.http import Lookups
from doveauth.figures import Figures
from doveauth.hashing import HashingFailed
from doveauth.policy import Refusal
from doveauth.stores.files import Account, NotNow
from relay.life.sockets import open_unix
from relay.life.webserver import WebServer
from relay.owner import Owner

NAME = "someone12@example.org"
ACCOUNT = Account(NAME, Path("/mail", NAME), "{SHA512-CRYPT}$6$x$y")


class Store:
    """An account store whose answer is set."""

    def __init__(self) -> None:
        self.answer: Callable[[], Account | None] = lambda: ACCOUNT
        self.asked: list[tuple[str, ...]] = []

    async def find(self, username: str) -> Account | None:
        self.asked.append((username,))
        return self.answer()

    async def login_or_create(
        self, username: str, password: str, remote: str | None = None
    ) -> Account | None:
        self.asked.append((username, password, remote or "-"))
        return self.answer()

    async def record_login(self, username: str, timestamp: int) -> None:
        raise NotImplementedError

    async def names(self) -> list[str]:
        answer = self.answer()
        return [answer.address] if answer else []


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def dovecot(socket_dir: Path, store: Store) -> AsyncIterator[aiohttp.ClientSession]:
    answers = Answers(store, Owner(8, 9), Figures())
    server = WebServer(Lookups(answers).application())
    await server.start(open_unix(socket_dir / "lookups"))
    connector = aiohttp.UnixConnector(str(socket_dir / "lookups"))
    async with aiohttp.ClientSession("http://doveauth", connector=connector) as session:
        yield session
    await server.stop()


def raising(error: Exception) -> Callable[[], Account | None]:
    def answer() -> Account | None:
        raise error

    return answer


async def test_a_login_is_told_the_hash_and_a_userdb_lookup_is_not(
    dovecot: aiohttp.ClientSession, store: Store
) -> None:
    form = {"username": NAME, "password": "pass\nword=&é", "remote": "2001:db8::1"}
    async with dovecot.post("/passdb", data=form) as answer:
        lines = (await answer.text()).splitlines()
    userdb = [f"addr={NAME}", f"home=/mail/{NAME}", "uid=8", "gid=9"]
    assert lines == [*userdb, f"password={ACCOUNT.password_hash}"]
    async with dovecot.post("/userdb", data={"username": NAME}) as answer:
        assert (await answer.text()).splitlines() == userdb
    assert store.asked == [(NAME, "pass\nword=&é", "2001:db8::1"), (NAME,)]


async def test_octets_that_are_not_utf8_survive(
    dovecot: aiohttp.ClientSession, store: Store
) -> None:
    body = b"username=someone12%40example.org&password=%FF%00x&remote="
    async with dovecot.post("/passdb", data=body) as answer:
        assert answer.status == 200
    assert store.asked == [(NAME, "\udcff\0x", "-")]


async def test_nobody_is_404(dovecot: aiohttp.ClientSession, store: Store) -> None:
    store.answer = lambda: None
    async with dovecot.post("/passdb", data={"username": "x", "password": "y"}) as answer:
        assert answer.status == 404
    async with dovecot.post("/userdb", data={"username": "x"}) as answer:
        assert answer.status == 404
    async with dovecot.get("/users") as answer:
        assert (answer.status, await answer.text()) == (200, "")


@pytest.mark.parametrize(
    "error",
    [OSError(5, "nothing works"), NotNow(Refusal.LOAD), HashingFailed("no"), RuntimeError("bug")],
    ids=lambda error: type(error).__name__,
)
async def test_what_cannot_be_answered_now_is_503_and_never_404(
    dovecot: aiohttp.ClientSession, store: Store, error: Exception
) -> None:
    store.answer = raising(error)
    for path, form in (
        ("/passdb", {"username": NAME, "password": "x"}),
        ("/userdb", {"username": NAME}),
    ):
        async with dovecot.post(path, data=form) as answer:
            assert answer.status == 503
            assert NAME not in await answer.text()
    async with dovecot.get("/users") as answer:
        assert answer.status == 503


@pytest.mark.parametrize("body", [b"", b"username=a", b"password=b", b"\xff\xfe", b"x" * 300_000])
async def test_what_is_no_question_is_no_answer_either(
    dovecot: aiohttp.ClientSession, store: Store, body: bytes
) -> None:
    async with dovecot.post("/passdb", data=body) as answer:
        assert answer.status in (400, 413)
    assert store.asked == []


async def test_everybody_is_listed(dovecot: aiohttp.ClientSession) -> None:
    async with dovecot.get("/users") as answer:
        assert await answer.text() == f"{NAME}\n"
