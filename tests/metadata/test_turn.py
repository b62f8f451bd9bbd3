import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from metadata import turn
from metadata.turn import TurnUnavailable, credentials, server

GOOD = b"1758650868:8Dqkyyu11MVESBqjbIylmB06rv8="
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def answers(socket_dir: Path) -> AsyncIterator[Callable[[Answer], Awaitable[Path]]]:
    """Start a TURN server's socket that answers as told."""
    servers = []

    async def start(answer: Answer) -> Path:
        async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answer(writer)
            writer.close()

        servers.append(await asyncio.start_unix_server(accepted, socket_dir / "turn"))
        return socket_dir / "turn"

    yield start
    for running in servers:
        running.close()


def saying(text: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    return answer


@pytest.mark.parametrize("text", [GOOD + b"\n", GOOD, GOOD + b"\r\n", GOOD + b"\nmore\n"])
async def test_credentials(answers: Callable[[Answer], Awaitable[Path]], text: bytes) -> None:
    assert await credentials(await answers(saying(text))) == GOOD.decode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"nonsense\n",
        b":x\n",
        b"123:\n",
        b"12:a b\n",
        b"-1:x\n",
        b"1" * 13 + b":x\n",
        b"1:\xff\n",
        b"1:a\0b\n",
        b"1:" + b"x" * 100_000,
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
async def test_nonsense(answers: Callable[[Answer], Awaitable[Path]], text: bytes) -> None:
    with pytest.raises(TurnUnavailable) as caught:
        await credentials(await answers(saying(text)))
    assert "x" * 10 not in str(caught.value)


async def test_absent(socket_dir: Path) -> None:
    with pytest.raises(TurnUnavailable, match="No such file"):
        await credentials(socket_dir / "turn")


async def test_nobody_listens(socket_dir: Path) -> None:
    listener = await asyncio.start_unix_server(lambda _r, _w: None, socket_dir / "turn")
    listener.close()
    await listener.wait_closed()
    (socket_dir / "turn").touch()
    with pytest.raises(TurnUnavailable, match="refused"):
        await credentials(socket_dir / "turn")


async def test_slow(
    answers: Callable[[Answer], Awaitable[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        await let_go.wait()

    monkeypatch.setattr(turn, "TIMEOUT_SECONDS", 0.05)
    with pytest.raises(TurnUnavailable, match="no answer within"):
        await credentials(await answers(answer))
    let_go.set()


@pytest.mark.parametrize(
    ("domain", "expected"),
    [("example.org", "example.org:3478:1:x"), ("[192.0.2.1]", "192.0.2.1:3478:1:x")],
)
def test_what_clients_are_told(domain: str, expected: str) -> None:
    assert server(domain, "1:x") == expected


def test_an_ipv6_literal_cannot_be_told() -> None:
    with pytest.raises(TurnUnavailable):
        server("[ipv6:2001:db8::1]", "1:x")
