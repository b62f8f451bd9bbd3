"""`POST /new` as a client sends it, and the login that follows."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from doveauth.daemon import NEW
from tests.doveauth.relays import Relay
from tests.support import DEADLINE

Answer = tuple[int, dict[str, str]]


class Web:
    """The web server's side of a relay."""

    def __init__(self, relay: Relay) -> None:
        self._path = str(relay.socket(NEW))

    async def post(
        self,
        query: str = "",
        remote: str = "192.0.2.1",
        data: bytes | dict[str, str] | None = None,
        json: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connector = aiohttp.UnixConnector(self._path)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(
                f"http://localhost/new{query}",
                headers={"X-Real-IP": remote} | (headers or {}),
                data=data,
                json=json,
            ) as answer,
        ):
            return answer.status, await answer.json()

    async def raw(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path)
        writer.write(request)
        async with asyncio.timeout(DEADLINE):
            answer = await reader.read()
        writer.close()
        return answer


async def logs_in(relay: Relay, answer: Answer) -> bool:
    """Return whether the login that was offered is let in."""
    told = answer[1]
    return (await relay.login(told["email"], told["password"], "192.0.2.1")).status == 200


async def test_a_post_without_a_body_gets_a_login_that_makes_its_account(socket_dir: Path) -> None:
    relay = Relay(socket_dir)
    web = Web(relay)
    async with relay.running():
        answer = await web.post()
        assert answer[0] == 200
        assert relay.accounts() == []
        assert await logs_in(relay, answer)
        assert relay.accounts() == [answer[1]["email"]]
        assert (await web.post())[1] != answer[1]


async def test_a_post_without_a_content_length_is_one_without_a_body(socket_dir: Path) -> None:
    relay = Relay(socket_dir)
    async with relay.running():
        answer = await Web(relay).raw(b"POST /new HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body).keys() == {"email", "password"}


async def test_the_configurations_lengths_are_kept(socket_dir: Path) -> None:
    relay = Relay(
        socket_dir,
        "username_min_length = 12\nusername_max_length = 14\npassword_min_length = 40\n",
    )
    async with relay.running():
        answer = await Web(relay).post()
        assert (len(answer[1]["email"]), len(answer[1]["password"])) == (12 + 12, 40)
        assert await logs_in(relay, answer)


async def test_by_invitation(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    web = Web(relay)
    token = relay.invite(uses=4)
    async with relay.running():
        assert (await web.post())[0] == 403
        assert (await web.post("?invitation=wrong"))[0] == 403
        form = aiohttp.FormData({"invitation": token}, default_to_multipart=True)
        answers = [
            await web.post(f"?invitation={token}"),
            await web.post(json={"invitation": token}),
            await web.post(data={"invitation": token}),
            await web.post(data=form),  # type: ignore[arg-type]  # aiohttp takes it
        ]
        assert [status for status, _ in answers] == [200] * 4
        status, told = await web.post(f"?invitation={token}")
        assert (status, list(told)) == (403, ["reason"])
        for answer in answers:
            assert not await logs_in(relay, (200, {**answer[1], "password": "x" * 22}))
            assert await logs_in(relay, answer)
        stranger = {"email": "someone12@example.org", "password": "x" * 22}
        assert not await logs_in(relay, (200, stranger))
    assert len(relay.accounts()) == 4


async def test_a_login_that_was_offered_outlives_a_restart(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    token = relay.invite()
    async with relay.running():
        answer = await Web(relay).post(f"?invitation={token}")
    async with relay.running():
        assert await logs_in(relay, answer)


async def test_invitations_in_trouble_are_answered_as_trouble(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    token = relay.invite()
    (socket_dir / "state" / "invitations.sqlite").write_bytes(b"no database" * 1000)
    async with relay.running():
        status, told = await Web(relay).post(f"?invitation={token}")
        assert (status, list(told)) == (503, ["reason"])
        assert (await relay.login()).status == 503


@pytest.mark.parametrize("how", ["registration", "file"])
async def test_a_closed_relay_offers_nothing(socket_dir: Path, how: str) -> None:
    relay = Relay(socket_dir, "registration = closed\n" if how == "registration" else "")
    if how == "file":
        (socket_dir / "nocreate").touch()
    async with relay.running():
        status, told = await Web(relay).post()
    assert status == 403
    assert "new users" in told["reason"]


@pytest.mark.parametrize("trouble", ["short", "not mounted"])
async def test_a_machine_in_need_asks_to_come_again(socket_dir: Path, trouble: str) -> None:
    short = trouble == "short"
    relay = Relay(socket_dir, "min_free_disk_space = 1000T\n" if short else "", prepared=short)
    async with relay.running():
        status, told = await Web(relay).post()
    assert (status, list(told)) == (503, ["reason"])


async def test_a_network_has_its_allowance(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "max_creations_per_hour_per_network = 2\n")
    web = Web(relay)
    async with relay.running():
        got = [(await web.post(remote=f"192.0.2.{host}"))[0] for host in range(3)]
        assert got == [200, 200, 429]
        assert (await web.post(remote="198.51.100.1"))[0] == 200


async def test_clients_without_one_readable_address_share_an_allowance(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "max_creations_per_hour_per_network = 4\n")
    web = Web(relay)
    head = b"POST /new HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    async with relay.running():
        assert (await web.post(remote="nonsense"))[0] == 200
        assert (await web.post(remote="192.0.2.1, 192.0.2.2"))[0] == 200
        for lines in (b"", b"X-Real-IP: 192.0.2.1\r\nX-Real-IP: 192.0.2.2\r\n"):
            assert (await web.raw(head + lines + b"\r\n")).startswith(b"HTTP/1.1 200 ")
        assert (await web.raw(head + b"\r\n")).startswith(b"HTTP/1.1 429 ")
        assert (await web.post())[0] == 200


@pytest.mark.parametrize("data", [b"x" * 5000, b"{", b"invitation", {"invitation": ""}])
async def test_nonsense_is_refused_in_words(socket_dir: Path, data: bytes | dict[str, str]) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    async with relay.running():
        status, told = await Web(relay).post(data=data)
        assert (status, list(told)) == (403, ["reason"])


@pytest.mark.parametrize("value", [["invitation"], {"invitation": 5}, {}, None, 5])
async def test_nonsense_in_json_is_refused_in_words(socket_dir: Path, value: object) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    async with relay.running():
        status, told = await Web(relay).post(json=value)
        assert (status, list(told)) == (403, ["reason"])


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[" * 4000),
        ("application/json", b"\xff\xfe"),
        ("application/json", b'{"invitation": "\\ud800"}'),
        ("application/json", '{"invitation": "é"}'.encode()),
        ("application/json; charset=nonsense", b"{}"),
        (f"{FORM}; charset=nonsense", b"invitation=x"),
        (FORM, b"invitation=\xff\xfe"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b",
        ),
    ],
)
@pytest.mark.parametrize("registration", ["open", "invite"])
async def test_a_malformed_body_is_the_clients_fault(
    socket_dir: Path,
    content_type: str,
    body: bytes,
    registration: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    relay = Relay(socket_dir, f"registration = {registration}\n")
    async with relay.running():
        status, told = await Web(relay).post(data=body, headers={"Content-Type": content_type})
    assert (status, list(told)) == (400, ["reason"])
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_a_client_that_hangs_up_is_no_error(
    socket_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    async with relay.running():
        for kind in ("application/json", FORM, "multipart/form-data; boundary=b"):
            _, writer = await asyncio.open_unix_connection(str(relay.socket(NEW)))
            head = f"POST /new HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
            writer.write(head.encode() + b"Content-Length: 9\r\n\r\nx")
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.close()
        assert (await Web(relay).post())[0] == 403
        await asyncio.sleep(0.05)
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
