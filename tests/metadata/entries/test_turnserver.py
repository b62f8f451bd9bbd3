"""The entry `turn` with a TURN server that is well, slow, absent, or talks nonsense."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from metadata.entries import turnserver
from metadata.entries.turnserver import RESPITE_SECONDS, REUSE_SECONDS, Turn
from tests.metadata.conftest import configuration
from tests.support import eventually

NOW = 1_800_000_000.0
DAY = 86400
PASSWORD = "8Dqkyyu11MVESBqjbIylmB06rv8="
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A TURN server's socket that does as it is told, and counts who asks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0
        self.says = b""
        self.hangs = False
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._accepted, self.path)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)

    def issue(self, seconds: float, now: float = NOW) -> str:
        """Answer with credentials of such a life from now on; what clients are told of them."""
        self.says = f"{int(now + seconds)}:{PASSWORD}\n".encode()
        return f"example.org:3478:{int(now + seconds)}:{PASSWORD}"

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        if self.hangs:
            await reader.read()
        writer.write(self.says)
        writer.close()


@pytest.fixture
async def server(socket_dir: Path) -> AsyncIterator[Server]:
    made = Server(socket_dir / "turn")
    await made.start()
    yield made
    made.stop()


@pytest.fixture
def entry(mail: Path, server: Server) -> Turn:
    return Turn(configuration(mail, turn_socket_path=server.path))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n", b"\nmore\n"])
async def test_credentials(server: Server, entry: Turn, end: bytes) -> None:
    told = server.issue(5 * DAY)
    server.says = server.says.strip() + end
    assert await entry.entry(NOW) == told


async def test_without_a_setting_nothing_is_told(mail: Path) -> None:
    assert await Turn(configuration(mail)).entry(NOW) is None


async def test_they_are_told_for_a_part_of_their_life(server: Server, entry: Turn) -> None:
    first = server.issue(5 * DAY)
    assert await entry.entry(NOW) == first
    second = server.issue(6 * DAY)
    for seconds in (0, 1, REUSE_SECONDS - 1):
        assert await entry.entry(NOW + seconds) == first
    assert server.asked == 1
    assert await entry.entry(NOW + REUSE_SECONDS) == second
    assert server.asked == 2


async def test_a_clock_that_was_set_back_has_them_asked_for(server: Server, entry: Turn) -> None:
    server.issue(5 * DAY)
    await entry.entry(NOW)
    await entry.entry(NOW - 1)
    assert server.asked == 2


async def test_a_life_near_twelve_hours_never_ends_below(server: Server, entry: Turn) -> None:
    for seconds in range(0, 3600, 7):
        now = NOW + seconds
        server.issue(12 * 3600 + 60, now)
        told = await entry.entry(now)
        assert told is None or int(told.split(":")[2]) - now >= 12 * 3600
    assert server.asked > 10


async def test_too_short_a_life_is_refused_and_told_once(
    server: Server, entry: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    server.issue(12 * 3600 - 1)
    for seconds in (0, 1, 2 * RESPITE_SECONDS):
        assert await entry.entry(NOW + seconds) is None
    assert len(warnings(caplog)) == 1
    assert "less than 12 h" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("says", [b"", b"\n", b"nonsense\n", b"1:" + b"x" * 100_000])
async def test_nonsense(
    server: Server, entry: Turn, caplog: pytest.LogCaptureFixture, says: bytes
) -> None:
    server.says = says
    for seconds in (0, 1, 2 * RESPITE_SECONDS):
        assert await entry.entry(NOW + seconds) is None
    assert len(warnings(caplog)) == 1
    assert "x" * 10 not in caplog.text
    assert server.asked == 2


async def test_absent_and_back(
    server: Server, entry: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    assert await entry.entry(NOW) is None
    assert "No such file" in caplog.text
    server.path.touch()
    assert await entry.entry(NOW + RESPITE_SECONDS) is None
    assert "refused" in caplog.text
    server.path.unlink()
    await server.start()
    told = server.issue(5 * DAY)
    assert await entry.entry(NOW + RESPITE_SECONDS + 1) is None
    assert await entry.entry(NOW + 2 * RESPITE_SECONDS) == told


async def test_a_slow_one_is_waited_for_once(
    server: Server,
    entry: Turn,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turnserver, "TIMEOUT_SECONDS", 0.1)
    server.hangs = True
    told = await asyncio.gather(*(entry.entry(NOW + n / 1000) for n in range(1000)))
    assert told == [None] * 1000
    assert server.asked == 1
    assert await entry.entry(NOW + RESPITE_SECONDS - 1) is None
    assert server.asked == 1
    assert len(warnings(caplog)) == 1
    assert "no answer within" in caplog.text


async def test_a_client_that_leaves_takes_nobody_with_it(server: Server, entry: Turn) -> None:
    server.hangs = True
    leaving = asyncio.ensure_future(entry.entry(NOW))
    staying = asyncio.ensure_future(entry.entry(NOW))
    await eventually(lambda: server.asked == 1, "the question")
    leaving.cancel()
    server.hangs = False
    told = server.issue(5 * DAY)
    assert await staying == told


async def test_those_that_still_last_are_told_while_it_is_down(
    server: Server, entry: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    told = server.issue(2 * DAY)
    assert await entry.entry(NOW) == told
    server.stop()
    for hours in (1, 2, 35, 36):
        assert await entry.entry(NOW + hours * 3600) == told
    assert await entry.entry(NOW + 36 * 3600 + 1) is None
    assert len(warnings(caplog)) == 1


async def test_from_a_secret(
    mail: Path, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The secret wins over the socket, which is not asked."""
    secret = tmp_path / "secret"
    secret.write_text("north\n")
    config = configuration(
        mail, turn_secret_path=secret, turn_port=5349, turn_socket_path=server.path
    )
    entry = Turn(config)
    assert await entry.entry(NOW) == "example.org:5349:1800259200:Adh5ZxSs6QJduBcz7jjs7wxm/xs="
    secret.write_text("another")
    changed = await entry.entry(NOW)
    assert changed is not None
    assert "Adh5" not in changed
    assert server.asked == 0
    assert not caplog.records


@pytest.mark.parametrize("content", [None, "", "\n", "a\nb", "x" * 2000, "a\0b"])
async def test_no_secret_to_be_had(
    mail: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    entry = Turn(configuration(mail, turn_secret_path=secret))
    for seconds in range(3):
        assert await entry.entry(NOW + seconds) is None
    (warning,) = warnings(caplog)
    assert f"turn_secret_path, {secret}," in warning
    assert "put the" in warning
    assert "xxx" not in warning
    secret.write_text("north")
    assert await entry.entry(NOW) is not None


async def test_a_fifo_in_its_place_holds_up_nobody(mail: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "secret")
    assert await Turn(configuration(mail, turn_secret_path=tmp_path / "secret")).entry(NOW) is None


async def test_an_ipv6_literal(
    mail: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret").write_text("north")
    domain = "[IPv6:2001:db8::1]"
    entry = Turn(configuration(mail, mail_domain=domain, turn_secret_path=tmp_path / "secret"))
    assert [await entry.entry(NOW) for _ in range(3)] == [None] * 3
    assert len(warnings(caplog)) == 1
