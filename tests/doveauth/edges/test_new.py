"""`POST /new` as a client sends it, and the login that follows."""

import asyncio
import contextlib
import getpass
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from doveauth.daemon import AUTH, NEW, run
from doveauth.invitations import Invitations
from relay.config import Config, read_config
from relay.life.sockets import open_unix
from relay.owner import Owner
from tests.support import DEADLINE, dict_client

Answer = tuple[int, dict[str, str]]


class Relay:
    """A running doveauth, its web server's side and Dovecot's."""

    def __init__(self, directory: Path, extra: str = "") -> None:
        (directory / "chatmail.ini").write_text(
            f"[params]\nmail_domain = example.org\nmailboxes_dir = {directory}/mail\n"
            f"mailboxes_user = {getpass.getuser()}\nnocreate_path = {directory}/nocreate\n"
            f"registration_state_dir = {directory}/state\n"
            f"max_load_1m = 1000\nmin_available_memory = 1M\nmin_free_disk_space = 1M\n{extra}"
        )
        self.config: Config = read_config(directory / "chatmail.ini")
        self.mail = directory / "mail"
        self._sockets = {AUTH: directory / "auth", NEW: directory / "new"}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        shutdown = asyncio.Event()
        listeners = {name: open_unix(path) for name, path in self._sockets.items()}
        task = asyncio.create_task(run(listeners, self.config, shutdown))
        try:
            yield
        finally:
            shutdown.set()
            async with asyncio.timeout(DEADLINE):
                await task

    async def post(
        self,
        query: str = "",
        remote: str = "192.0.2.1",
        data: bytes | dict[str, str] | None = None,
        json: object = None,
    ) -> Answer:
        connector = aiohttp.UnixConnector(str(self._sockets[NEW]))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(
                f"http://localhost/new{query}",
                headers={"X-Real-IP": remote},
                data=data,
                json=json,
            ) as answer,
        ):
            return answer.status, await answer.json()

    async def raw(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self._sockets[NEW]))
        writer.write(request)
        async with asyncio.timeout(DEADLINE):
            answer = await reader.read()
        writer.close()
        return answer

    async def logs_in(self, answer: Answer) -> bool:
        """Whether the login that was handed out is let in."""
        key = f'shared/passdb/{answer[1]["password"]}"{answer[1]["email"]}"192.0.2.1'
        async with dict_client(self._sockets[AUTH]) as client:
            return (await client.ask(f"L{key}\t".encode())).startswith(b"O{")

    def invite(self, uses: int = 1) -> str:
        owner = Owner.named(getpass.getuser())
        return Invitations.of(self.config, owner).create(uses, None, "")[1]


async def test_a_post_without_a_body_gets_a_login_that_makes_its_account(socket_dir: Path) -> None:
    relay = Relay(socket_dir)
    async with relay.running():
        answer = await relay.post()
        assert answer[0] == 200
        assert re.fullmatch(r"[a-z0-9]{9}@example\.org", answer[1]["email"])
        assert re.fullmatch(r"[A-Za-z0-9]{22}", answer[1]["password"])
        assert list(relay.mail.iterdir()) == []
        assert await relay.logs_in(answer)
        assert [path.name for path in relay.mail.iterdir()] == [answer[1]["email"]]
        assert (await relay.post())[1] != answer[1]


async def test_a_post_without_a_content_length_is_one_without_a_body(socket_dir: Path) -> None:
    relay = Relay(socket_dir)
    async with relay.running():
        answer = await relay.raw(b"POST /new HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body).keys() == {"email", "password"}


async def test_the_configurations_lengths_are_kept(socket_dir: Path) -> None:
    relay = Relay(
        socket_dir,
        "username_min_length = 12\nusername_max_length = 14\npassword_min_length = 40\n",
    )
    async with relay.running():
        answer = await relay.post()
        assert (len(answer[1]["email"]), len(answer[1]["password"])) == (12 + 12, 40)
        assert await relay.logs_in(answer)


async def test_by_invitation(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    token = relay.invite(uses=3)
    async with relay.running():
        assert (await relay.post())[0] == 403
        assert (await relay.post("?invitation=wrong"))[0] == 403
        answers = [
            await relay.post(f"?invitation={token}"),
            await relay.post(json={"invitation": token}),
            await relay.post(data={"invitation": token}),
        ]
        assert [status for status, _ in answers] == [200] * 3
        status, told = await relay.post(f"?invitation={token}")
        assert (status, list(told)) == (403, ["reason"])
        for answer in answers:
            assert not await relay.logs_in((200, {**answer[1], "password": "x" * 22}))
            assert await relay.logs_in(answer)
        stranger = {"email": "someone12@example.org", "password": "x" * 22}
        assert not await relay.logs_in((200, stranger))
    assert len(list(relay.mail.iterdir())) == 3


async def test_a_login_that_was_handed_out_outlives_a_restart(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    token = relay.invite()
    async with relay.running():
        answer = await relay.post(f"?invitation={token}")
    for path in ("auth", "new"):
        (socket_dir / path).unlink()
    async with relay.running():
        assert await relay.logs_in(answer)


async def test_invitations_in_trouble_are_told_as_trouble(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    token = relay.invite()
    (socket_dir / "state" / "invitations.sqlite").write_bytes(b"no database" * 1000)
    async with relay.running():
        status, told = await relay.post(f"?invitation={token}")
        assert (status, list(told)) == (503, ["reason"])
        async with dict_client(socket_dir / "auth") as client:
            key = b'Lshared/passdb/password12"someone12@example.org\t'
            assert await client.ask(key) == b"Onot now\n"


@pytest.mark.parametrize("how", ["registration", "file"])
async def test_a_closed_relay_hands_out_nothing(socket_dir: Path, how: str) -> None:
    relay = Relay(socket_dir, "registration = closed\n" if how == "registration" else "")
    if how == "file":
        (socket_dir / "nocreate").touch()
    async with relay.running():
        status, told = await relay.post()
    assert status == 403
    assert "new users" in told["reason"]


async def test_a_machine_in_need_asks_to_come_again(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "max_mailbox_size = 1\n")
    text = (socket_dir / "chatmail.ini").read_text().replace("_space = 1M", "_space = 1000T")
    (socket_dir / "chatmail.ini").write_text(text)
    relay.config = read_config(socket_dir / "chatmail.ini")
    async with relay.running():
        status, told = await relay.post()
    assert (status, list(told)) == (503, ["reason"])


async def test_a_network_has_its_allowance(socket_dir: Path) -> None:
    relay = Relay(socket_dir, "max_creations_per_hour_per_network = 2\n")
    async with relay.running():
        got = [(await relay.post(remote=f"192.0.2.{host}"))[0] for host in range(3)]
        assert got == [200, 200, 429]
        assert (await relay.post(remote="198.51.100.1"))[0] == 200
        assert (await relay.post(remote="nonsense"))[0] == 200


@pytest.mark.parametrize("data", [b"x" * 5000, b"{", b"invitation", {"invitation": ""}])
async def test_nonsense_is_refused_in_words(socket_dir: Path, data: bytes | dict[str, str]) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    async with relay.running():
        status, told = await relay.post(data=data)
        assert (status, list(told)) == (403, ["reason"])


@pytest.mark.parametrize("value", [["invitation"], {"invitation": 5}, {}, None, 5])
async def test_nonsense_in_json_is_refused_in_words(socket_dir: Path, value: object) -> None:
    relay = Relay(socket_dir, "registration = invite\n")
    async with relay.running():
        status, told = await relay.post(json=value)
        assert (status, list(told)) == (403, ["reason"])
