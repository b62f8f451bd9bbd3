"""The dict server on real unix sockets: what one client does, no other client feels."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from relay.dovecot.dictproto import Change
from relay.dovecot.dictserver import ROWS, DictFailure, DictServer
from relay.life.sockets import BACKLOG, open_unix, serve
from tests.support import DEADLINE, HELLO, DictClient, dict_client, eventually

SECRET = "a secret"


class Shelf:
    """A dict in memory, with keys that misbehave when asked to."""

    def __init__(self) -> None:
        self.values = {"shared/a": "1", "shared/b": "two\twords"}
        self.users: list[str] = []
        self.slow = asyncio.Event()
        self.waiting = 0
        self.made = 0

    async def lookup(self, key: str, user: str) -> str | None:
        self.users.append(user)
        if key == "shared/slow":
            self.waiting += 1
            await self.slow.wait()
            return "at last"
        if key == "shared/failing":
            raise DictFailure("not now")
        if key == "shared/broken":
            raise ValueError(SECRET)
        return self.values.get(key)

    async def iterate(self, path: str, user: str) -> Iterable[tuple[str, str]]:
        if path == "shared/many/":
            return self.many()
        if path == "shared/broken/":
            raise ValueError(SECRET)
        return [item for item in self.values.items() if item[0].startswith(path)]

    def many(self) -> Iterator[tuple[str, str]]:
        for number in range(5 * ROWS):
            self.made = number + 1
            yield f"shared/many/{number}", ""

    async def commit(self, user: str, changes: Sequence[Change]) -> None:
        self.users.append(user)
        if any(change.key == "shared/failing" for change in changes):
            raise DictFailure("not now")
        for change in changes:
            if change.value is None:
                del self.values[change.key]
            else:
                self.values[change.key] = change.value


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def path(socket_dir: Path) -> Path:
    return socket_dir / "dict"


@pytest.fixture
async def server(shelf: Shelf, path: Path) -> AsyncIterator[DictServer]:
    server = DictServer(shelf, serve)
    await server.start(open_unix(path))
    yield server
    shelf.slow.set()
    await server.stop()


@pytest.fixture
async def client(server: DictServer, path: Path) -> AsyncIterator[DictClient]:
    async with dict_client(path) as client:
        yield client


async def test_lookups_iterations_and_commits_are_answered(
    client: DictClient, shelf: Shelf
) -> None:
    assert await client.ask(b"Lshared/a\ta@x") == b"O1\n"
    assert await client.ask(b"Lshared/b\tb@x") == b"Otwo\x01twords\n"
    assert await client.ask(b"Lshared/none\tc@x") == b"N\n"
    assert await client.ask(b"B1\td@x\nS1\tshared/c\t3\nU1\tshared/b\nC1") == b"O1\n"
    assert shelf.values == {"shared/a": "1", "shared/c": "3"}
    assert shelf.users == ["a@x", "b@x", "c@x", "d@x"]
    assert await client.ask(b"I0\t0\tshared/") == b"Oshared/a\t1\n"
    assert await client.line() == b"Oshared/c\t3\n"
    assert await client.line() == b"\n"
    assert await client.ask(b"I0\t1\tshared/") == b"Oshared/a\t1\n"
    assert await client.line() == b"\n"
    assert await client.ask(b"I0\t0\tpriv/") == b"\n"


async def test_what_is_rolled_back_never_happens(client: DictClient, shelf: Shelf) -> None:
    before = dict(shelf.values)
    assert await client.ask(b"B1\nS1\tshared/c\t3\nR1\nLshared/c") == b"N\n"
    assert shelf.values == before


async def test_answers_come_in_the_order_of_the_questions(client: DictClient, shelf: Shelf) -> None:
    await client.send(b"Lshared/slow\nLshared/a\nB1\nC1\n")
    await eventually(lambda: shelf.waiting == 1, "the slow lookup")
    shelf.slow.set()
    assert [await client.line() for _ in range(3)] == [b"Oat last\n", b"O1\n", b"O1\n"]


async def test_a_failure_is_a_temporary_one_for_its_command_alone(client: DictClient) -> None:
    assert await client.ask(b"Lshared/failing") == b"Fnot now\n"
    assert await client.ask(b"B1\nS1\tshared/failing\tx\nC1") == b"F1\tnot now\n"
    assert await client.ask(b"B2\nS2\tshared/failing\tx\nD2") == b"AF2\tnot now\n"
    assert await client.ask(b"Lshared/a") == b"O1\n"


async def test_the_unforeseen_is_temporary_and_its_text_stays_out_of_log_and_answer(
    client: DictClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert await client.ask(b"Lshared/broken") == b"Finternal error\n"
        assert await client.ask(b"I0\t0\tshared/broken/") == b"Finternal error\n"
        assert await client.ask(b"B1\nU1\tshared/none\nC1") == b"F1\tinternal error\n"
        assert await client.ask(b"Lshared/a") == b"O1\n"
    assert "unexpected ValueError during a dict lookup" in caplog.text
    assert "unexpected KeyError during a dict commit" in caplog.text
    assert SECRET not in caplog.text
    assert "shared/none" not in caplog.text


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"Lshared/a\n",
        b"H1\t0\t0\t\tauth\n",
        HELLO + b"?\n",
        HELLO + b"secret\n",
        HELLO + b"\x00\xff\xfe\n",
        HELLO + b"La\x01\n",
        HELLO + b"S9\tsecret\tvalue\n",
        HELLO + b"C9\n",
        HELLO + b"I\xff\t\t\n",
    ],
)
async def test_who_speaks_something_else_is_disconnected_and_nobody_else(
    client: DictClient, path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with dict_client(path, greet=False) as other:
        await other.send(garbage)
        assert await other.is_closed()
    assert await client.ask(b"Lshared/a") == b"O1\n"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "secret" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_line_of_ten_megabytes_ends_its_connection_alone(
    client: DictClient, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with dict_client(path) as other:
        with contextlib.suppress(ConnectionError):
            await other.send(b"L" + b"k" * (10 << 20) + b"\n")
        assert await other.is_closed()
    assert await client.ask(b"Lshared/a") == b"O1\n"
    assert "a line of more than" in caplog.text
    assert "Traceback" not in caplog.text


async def test_who_asks_and_closes_its_side_is_answered(server: DictServer, path: Path) -> None:
    async with dict_client(path) as client:
        await client.send(b"Lshared/a\nLshared/none\n")
        client.writer.write_eof()
        assert [await client.line() for _ in range(3)] == [b"O1\n", b"N\n", b""]


async def test_who_leaves_in_the_middle_changes_nothing(
    client: DictClient, path: Path, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    before = dict(shelf.values)
    async with dict_client(path) as other:
        await other.send(b"B1\nS1\tshared/c\t3\nC")
        await other.send(b"1")
        assert await client.ask(b"Lshared/a") == b"O1\n"
        other.writer.transport.abort()
    async with dict_client(path) as other:
        await other.send(b"Lshared/slow\n")
        await eventually(lambda: shelf.waiting == 1, "the slow lookup")
        other.writer.transport.abort()
    shelf.slow.set()
    assert await client.ask(b"Lshared/a") == b"O1\n"
    assert shelf.values == before
    assert caplog.text == ""


async def test_what_was_committed_is_done_though_who_committed_it_has_left(
    path: Path, server: DictServer, shelf: Shelf
) -> None:
    async with dict_client(path) as other:
        await other.send(b"Lshared/slow\nB1\nS1\tshared/c\t3\nC1\nB2\nS2\tshared/d\t4\nC2\n")
        await eventually(lambda: shelf.waiting == 1, "the slow lookup")
        other.writer.transport.abort()
    shelf.slow.set()
    await eventually(lambda: shelf.values.get("shared/d") == "4", "the second commit")
    assert shelf.values["shared/c"] == "3"


async def test_a_slow_answer_holds_up_no_other_client(
    client: DictClient, path: Path, shelf: Shelf
) -> None:
    await client.send(b"Lshared/slow\n")
    await eventually(lambda: shelf.waiting == 1, "the slow lookup")
    async with dict_client(path) as other:
        assert await other.ask(b"Lshared/a") == b"O1\n"
    shelf.slow.set()
    assert await client.line() == b"Oat last\n"


async def test_five_hundred_clients_are_served_at_a_time(server: DictServer, path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(dict_client(path)) for _ in range(500)]
        answers = await asyncio.gather(*(client.ask(b"Lshared/a") for client in clients))
    assert answers == [b"O1\n"] * 500


async def test_a_burst_waits_in_the_backlog_while_the_loop_is_busy(
    server: DictServer, path: Path
) -> None:
    burst = BACKLOG // 2
    with contextlib.ExitStack() as stack:
        waiting = []
        # No await in here: the loop cannot accept, and a full backlog would answer EAGAIN.
        for _ in range(burst):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            peer.setblocking(False)
            peer.connect(str(path))
            waiting.append(peer)
        loop = asyncio.get_running_loop()
        for peer in waiting:
            await loop.sock_sendall(peer, HELLO + b"Lshared/a\n")
        async with asyncio.timeout(DEADLINE):
            answers = [await loop.sock_recv(peer, 100) for peer in waiting]
    assert answers == [b"O1\n"] * burst


async def test_a_stop_lets_what_is_under_way_be_answered(
    client: DictClient, path: Path, server: DictServer, shelf: Shelf
) -> None:
    async with dict_client(path) as idle:
        assert await idle.ask(b"Lshared/a") == b"O1\n"
        await client.send(b"Lshared/slow\n")
        await eventually(lambda: shelf.waiting == 1, "the slow lookup")
        stopping = asyncio.create_task(server.stop())
        assert await idle.is_closed()
        assert not stopping.done()
        with pytest.raises(ConnectionError):
            await asyncio.open_unix_connection(str(path))
        shelf.slow.set()
        assert await client.line() == b"Oat last\n"
        assert await client.is_closed()
        await stopping


async def test_a_stop_is_not_held_up_by_idle_clients(
    client: DictClient, server: DictServer
) -> None:
    assert await client.ask(b"Lshared/a") == b"O1\n"
    async with asyncio.timeout(DEADLINE):
        await server.stop()
    assert await client.is_closed()


async def test_a_stop_leaves_the_path_which_may_be_systemds(server: DictServer, path: Path) -> None:
    await server.stop()
    assert path.is_socket()


async def test_others_get_their_turn_in_the_middle_of_a_long_iteration(
    server: DictServer, path: Path, shelf: Shelf
) -> None:
    made = set[int]()
    over = asyncio.Event()

    async def others() -> None:
        while not over.is_set():
            made.add(shelf.made)
            await asyncio.sleep(0)

    watching = asyncio.create_task(others())
    async with dict_client(path) as client:
        rows = [await client.ask(b"I0\t0\tshared/many/")]
        while rows[-1] != b"\n":
            rows.append(await client.line())
    over.set()
    await watching
    assert len(rows) == 5 * ROWS + 1
    assert len(made) >= 5, "the loop turned between slices"


async def test_a_long_iteration_ends_with_its_client(
    server: DictServer, path: Path, shelf: Shelf
) -> None:
    async with dict_client(path) as client:
        await client.send(b"I0\t0\tshared/many/\n")
        client.writer.transport.abort()
    async with dict_client(path) as other:
        assert await other.ask(b"Lshared/a") == b"O1\n"
        assert await other.ask(b"I0\t3\tshared/many/") == b"Oshared/many/0\t\n"
