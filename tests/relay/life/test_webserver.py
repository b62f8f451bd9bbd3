"""HTTP over a unix socket that listens already: honest clients, odd ones, and the end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from relay.life import webserver
from relay.life.sockets import open_unix
from relay.life.webserver import MAX_BODY, MAX_DROPPED, Answer, Handler, Request, WebServer

SECRET = "not for logs"


async def get(path: Path, what: str) -> tuple[int, str]:
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://localhost{what}") as answer,
    ):
        return answer.status, await answer.text()


async def echo(request: Request) -> Answer:
    """Answer with all that was understood of the request."""
    names = ",".join(name.decode() for name, _ in request.headers)
    said = f"{request.method} {request.path} ?{request.query} {names} {request.content.decode()}"
    return Answer(HTTPStatus.OK, said)


async def broken(_request: Request) -> Answer:
    raise RuntimeError(SECRET)


@contextlib.asynccontextmanager
async def serving(path: Path, handler: Handler = echo) -> AsyncIterator[None]:
    server = WebServer(handler)
    await server.start(open_unix(path))
    yield
    await server.stop()


async def ask(path: Path, *pieces: bytes) -> bytes:
    """Write pieces, one after the other, and read until the server closes."""
    reader, writer = await asyncio.open_unix_connection(path)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while piece := await reader.read(65536):
                answer += piece
    writer.close()
    return answer


CLOSE = b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"GET / ? "),
        (b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n" + CLOSE, b"GET /a ?b=c host,connection"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n" + CLOSE + b"abc", b" abc"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
            + CLOSE
            + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            b" abc",
        ),
        (b"GET http://host/path HTTP/1.1\r\n" + CLOSE, b"GET /path ?"),
    ],
)
async def test_a_request_is_answered_however_it_is_cut(
    socket_dir: Path, request_: bytes, answer: bytes
) -> None:
    async with serving(socket_dir / "s"):
        whole = await ask(socket_dir / "s", request_)
        octets = await ask(
            socket_dir / "s", *(request_[at : at + 1] for at in range(len(request_)))
        )
    assert whole == octets
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer in whole
    assert b"Connection: close" in whole


async def test_a_connection_serves_many_requests_in_order(socket_dir: Path) -> None:
    async def slow_first(request: Request) -> Answer:
        await asyncio.sleep(0.05 if request.path == "/0" else 0)
        return Answer(HTTPStatus.OK, request.path)

    requests = [f"GET /{number} HTTP/1.1\r\nHost: x\r\n".encode() for number in range(100)]
    async with serving(socket_dir / "s", slow_first):
        answers = await ask(
            socket_dir / "s",
            b"".join(each + b"\r\n" for each in requests[:-1]),
            requests[-1] + CLOSE,
        )
    assert [int(part) for part in answers.split(b"\r\n\r\n/")[1:] if part.isdigit()] == [99]
    bodies = [answer.partition(b"HTTP")[0] for answer in answers.split(b"\r\n\r\n")[1:]]
    assert bodies == [f"/{number}".encode() for number in range(100)]


async def test_a_client_that_says_no_more_is_answered(socket_dir: Path) -> None:
    async def slow(request: Request) -> Answer:
        await asyncio.sleep(0.05)
        return Answer(HTTPStatus.OK, request.path)

    async with serving(socket_dir / "s", slow):
        reader, writer = await asyncio.open_unix_connection(socket_dir / "s")
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(3)))
        writer.write_eof()
        async with asyncio.timeout(5):
            answers = await reader.read()
        writer.close()
    assert [b"/%d" % n in answers for n in range(3)] == [True] * 3
    assert answers.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    "request_",
    [
        b"GET\r\n\r\n",
        b"x" * 10_000,
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\x02\x00",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000,
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_what_is_no_request_ends_the_connection(socket_dir: Path, request_: bytes) -> None:
    async with serving(socket_dir / "s"):
        answer = await ask(socket_dir / "s", request_)
        assert answer.startswith(b"HTTP/1.1 400") or b"200 OK" in answer
        assert (await get(socket_dir / "s", "/"))[0] == 200


async def test_a_body_that_is_too_large_is_dropped_and_said_so(socket_dir: Path) -> None:
    async def measured(request: Request) -> Answer:
        return Answer(HTTPStatus.OK, f"{request.too_large} {len(request.content) <= MAX_BODY}")

    def post(size: int) -> bytes:
        return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n" % size + CLOSE + b"x" * size

    async with serving(socket_dir / "s", measured):
        assert (await ask(socket_dir / "s", post(MAX_BODY))).endswith(b"False True")
        assert (await ask(socket_dir / "s", post(MAX_BODY + 1))).endswith(b"True True")
        assert b"200" not in await ask(socket_dir / "s", post(2 * MAX_DROPPED))


async def test_what_nobody_foresaw_is_a_503(
    socket_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(socket_dir / "s", broken):
        assert (await get(socket_dir / "s", "/"))[0] == 503
    assert SECRET not in caplog.text


async def test_a_client_that_asks_nothing_is_left(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webserver, "PATIENCE_SECONDS", 0.1)
    async with serving(socket_dir / "s"):
        assert await ask(socket_dir / "s", b"GET /") == b""
        kept = await ask(socket_dir / "s", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.startswith(b"HTTP/1.1 200")


async def test_a_request_under_way_is_answered_at_the_stop(socket_dir: Path) -> None:
    arrived = asyncio.Event()

    async def slow(_request: Request) -> Answer:
        arrived.set()
        await asyncio.sleep(0.2)
        return Answer(HTTPStatus.OK, "done")

    async with serving(socket_dir / "s", slow):
        asking = asyncio.ensure_future(get(socket_dir / "s", "/"))
        await arrived.wait()
    assert await asking == (200, "done")


async def test_an_idle_connection_does_not_hold_up_the_stop(socket_dir: Path) -> None:
    async with asyncio.timeout(2):
        async with serving(socket_dir / "s"):
            reader, writer = await asyncio.open_unix_connection(socket_dir / "s")
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"host ")
        assert await reader.read() == b""
        writer.close()


async def test_the_sockets_file_outlives_the_server(socket_dir: Path) -> None:
    async with serving(socket_dir / "s"):
        pass
    assert (socket_dir / "s").is_socket()
