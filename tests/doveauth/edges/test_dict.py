"""What Dovecot's last_login plugin writes, as 2.3.19 sends it and as nobody should."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doveauth.edges.dict import LastLoginHandler
from relay.address import Address
from relay.dovecot.dictserver import DictServer
from relay.life.sockets import open_unix, serve
from tests.doveauth.registrars import registrar, terms
from tests.doveauth.stores.memory import MemoryAccounts
from tests.support import DictClient, dict_client

NAME = Address.parse("someone12@example.org")
GOOD = b"S1\tshared/last-login/someone12@example.org\t1795332101\n"


@pytest.fixture
async def store() -> MemoryAccounts:
    store = MemoryAccounts()
    await store.create(NAME, "hash")
    return store


@pytest.fixture
async def plugin(socket_dir: Path, store: MemoryAccounts) -> AsyncIterator[DictClient]:
    async with registrar(terms(), store) as accounts:
        server = DictServer(LastLoginHandler(accounts), serve)
        await server.start(open_unix(socket_dir / "last-login"))
        async with dict_client(socket_dir / "last-login") as client:
            yield client
        await server.stop()


async def test_a_login_is_recorded(plugin: DictClient, store: MemoryAccounts) -> None:
    assert await plugin.ask(b"B1\tx\n" + GOOD + b"C1") == b"O1\n"
    assert store.days == {NAME: 1795305600}
    for stranger in (b"nobody12@example.org", b"someone12@example.com", b"../x@example.org"):
        change = b"B1\tx\nS1\tshared/last-login/" + stranger + b"\t1795332101\nC1"
        assert await plugin.ask(change) == b"O1\n"
    assert list(store.days) == [NAME]


@pytest.mark.parametrize(
    "change",
    [
        b"S1\tshared/last-login/someone12@example.org\tyesterday",
        b"S1\tshared/last-login/someone12@example.org\t99999999999999999999",
        b"S1\tshared/last-login/someone12@example.org\t",
        b"U1\tshared/last-login/someone12@example.org",
        b"S1\tshared/passdb/someone12@example.org\t1795332101",
        b"S1\tlast-login/someone12@example.org\t1795332101",
        b"S1\t\t1795332101",
    ],
)
async def test_what_is_no_last_login_is_a_temporary_failure_and_changes_nothing(
    plugin: DictClient, store: MemoryAccounts, change: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        answer = await plugin.ask(b"B1\tx\n" + GOOD + change + b"\nC1")
        assert answer.startswith(b"F1\tshared/last-login/USER is set to a time")
    assert store.days == {}
    assert await plugin.ask(b"B2\tx\n" + GOOD.replace(b"S1", b"S2") + b"C2") == b"O2\n"
    (warning,) = caplog.messages
    assert "not understood" in warning
    assert "someone12" not in warning


@pytest.mark.parametrize("question", [b"Lshared/userdb/x@example.org", b"I0\t0\tshared/userdb/"])
async def test_a_question_is_a_temporary_failure_never_a_no(
    plugin: DictClient, question: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert (await plugin.ask(question)).startswith(b"F")
    assert len(caplog.messages) == 1


async def test_trouble_is_a_temporary_failure(plugin: DictClient, store: MemoryAccounts) -> None:
    store.trouble = OSError(5, "Input/output error")
    answer = await plugin.ask(b"B1\tx\n" + GOOD + b"C1")
    assert answer == b"F1\tthe mailboxes cannot be read or written now\n"
