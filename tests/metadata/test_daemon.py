"""The whole service over its real socket, in the octets that Dovecot 2.3.19 sends (captured)."""

import asyncio
import base64
import errno
import hmac
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from metadata.entries import turnserver
from relay.mailbox import drafts
from tests.metadata.conftest import Service
from tests.metadata.gateway import Gateway
from tests.support import DictClient, dict_client, eventually

USER = b"alice@example.org"
GUID = b"f7a53b235f95026b2548000083ecc375"
TOKEN = b"priv/" + GUID + b"/devicetoken"
MESSAGE = b"priv/" + GUID + b"/messagenew"
SERVER = b"shared/" + GUID + b"/vendor/vendor.dovecot/pvt/server/vendor/deltachat/"


async def change(client: DictClient, *changes: bytes, user: bytes = USER) -> bytes:
    """One transaction, committed: its answer."""
    lines = [b"B7\t" + user, *changes, b"C7"]
    await client.send(b"".join(line + b"\n" for line in lines))
    return await client.line()


async def set_entry(client: DictClient, key: bytes, value: bytes, user: bytes = USER) -> bytes:
    return await change(client, b"S7\t" + key + b"\t" + value, user=user)


async def deliver(service: Service, user: bytes = USER) -> bytes:
    """Report a delivery as Dovecot's Lua does: the answer."""
    async with dict_client(service.notify) as client:
        return await set_entry(client, MESSAGE, b"", user)


async def lookup(client: DictClient, key: bytes, user: bytes = USER) -> bytes:
    return await client.ask(b"L" + key + b"\t" + user)


async def test_a_token_is_set_read_and_pushed_to(service: Service, gateway: Gateway) -> None:
    await service.start(push_gateway=gateway.url)
    async with dict_client(service.socket) as client:
        assert await lookup(client, TOKEN) == b"N\n"
        assert await set_entry(client, TOKEN, b"openpgp:one=") == b"O7\n"
        assert await set_entry(client, TOKEN, b"openpgp:two=") == b"O7\n"
        assert await lookup(client, TOKEN) == b"Oopenpgp:one= openpgp:two=\n"
        assert await lookup(client, TOKEN, b"bob@example.org") == b"N\n"
        assert await deliver(service) == b"O7\n"
    await eventually(lambda: len(gateway.received) == 2, "both pushes")
    assert sorted(gateway.received) == ["openpgp:one=", "openpgp:two="]


async def test_a_token_that_is_gone_is_answered_no_more(service: Service, gateway: Gateway) -> None:
    gateway.status = {"gone": 410}
    await service.start(push_gateway=gateway.url)
    async with dict_client(service.socket) as client:
        for token in (b"gone", b"good"):
            await set_entry(client, TOKEN, token)
        await deliver(service)
        await eventually(lambda: len(gateway.received) == 2, "both pushes")
        answer = b""
        while answer != b"Ogood\n":
            answer = await lookup(client, TOKEN)
            assert answer in (b"Ogood\n", b"Ogone good\n")
            await asyncio.sleep(0.005)


async def test_an_unset_is_answered_and_takes_no_token(service: Service) -> None:
    await service.start()
    async with dict_client(service.socket) as client:
        await set_entry(client, TOKEN, b"one")
        assert await change(client, b"U7\t" + TOKEN) == b"O7\n"
        assert await lookup(client, TOKEN) == b"Oone\n"


async def test_a_token_belongs_to_the_address_in_whichever_mailbox(service: Service) -> None:
    await service.start()
    async with dict_client(service.socket) as client:
        elsewhere = b"priv/0123456789abcdef0123456789abcdef/devicetoken"
        assert await set_entry(client, elsewhere, b"one") == b"O7\n"
        assert await lookup(client, TOKEN) == b"Oone\n"


@pytest.mark.parametrize(
    "key",
    [
        b"priv/bob@example.org/devicetoken",
        b"priv/" + GUID + b"/../bob@example.org/devicetoken",
        b"priv/../devicetoken",
        b"priv//devicetoken",
        b"priv/" + GUID + b"/devicetoken/bob@example.org",
        b"shared/" + GUID + b"/devicetoken",
        b"devicetoken",
    ],
)
async def test_a_key_reaches_nobody_elses_token(service: Service, mail: Path, key: bytes) -> None:
    """The user is who Dovecot says it is; nothing in a key says otherwise."""
    bob = b"bob@example.org"
    (mail / bob.decode()).mkdir()
    await service.start()
    async with dict_client(service.socket) as client:
        await set_entry(client, TOKEN, b"bobs", bob)
        assert await lookup(client, key) == b"N\n"
        assert await set_entry(client, key, b"mine") == b"O7\n"
        assert await lookup(client, TOKEN) == b"N\n"
        assert await lookup(client, TOKEN, bob) == b"Obobs\n"


async def test_who_tells_and_leaves_is_heard(
    service: Service, gateway: Gateway, mail: Path
) -> None:
    """Dovecot's Lua waits for an answer for a moment only, and not at all after one was late."""
    users = [f"user{number}@example.org" for number in range(20)]
    await service.start(push_gateway=gateway.url)
    for user in users:
        (mail / user).mkdir()
        async with dict_client(service.socket) as client:
            await set_entry(client, TOKEN, user.encode(), user.encode())
    for user in users:
        async with dict_client(service.notify) as client:
            await client.send(b"B1\t" + user.encode() + b"\nS1\t" + MESSAGE + b"\t\nC1\n")
    await eventually(lambda: sorted(gateway.received) == sorted(users), "the pushes")


async def test_what_is_rolled_back_is_forgotten(service: Service, gateway: Gateway) -> None:
    await service.start(push_gateway=gateway.url)
    async with dict_client(service.socket) as client, dict_client(service.notify) as lua:
        await set_entry(client, TOKEN, b"kept")
        await client.send(b"B1\t" + USER + b"\nS1\t" + TOKEN + b"\tlost\nR1\n")
        await lua.send(b"B1\t" + USER + b"\nS1\t" + MESSAGE + b"\t\nR1\n")
        assert await lookup(client, TOKEN) == b"Okept\n"
        assert gateway.received == []
        await deliver(service)
    await eventually(lambda: bool(gateway.received), "the one push")
    assert gateway.received == ["kept"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (TOKEN, b""),
        (TOKEN, b" "),
        (TOKEN, b"a b"),
        (TOKEN, b"a\x01tb"),
        (TOKEN, b"a\x01nb"),
        (TOKEN, b"\xff"),
        (TOKEN, b"x" * 4097),
        (b"priv/" + GUID + b"/comment", b"x"),
        (b"shared/" + GUID + b"/messagenew", b"x"),
        (SERVER + b"turn", b"x"),
        (b"priv/" + GUID + b"/vendor/vendor.dovecot/pvt/server/devicetoken", b"x"),
        (MESSAGE, b""),
        (b"priv/" + GUID + b"/messageown", b""),
    ],
)
async def test_what_cannot_be_set_is_ignored(
    service: Service, mail: Path, gateway: Gateway, key: bytes, value: bytes
) -> None:
    """A refusal would be an error with the user's address in Dovecot's log, at any client's will.

    That a message has come is one of these: only Dovecot's Lua may say so.
    """
    await service.start(push_gateway=gateway.url)
    async with dict_client(service.socket) as client:
        assert await set_entry(client, key, value) == b"O7\n"
        assert await change(client, b"U7\t" + key) == b"O7\n"
        assert await lookup(client, TOKEN) == b"N\n"
        assert not (mail / USER.decode() / "metadata.json").exists()
        await set_entry(client, TOKEN, b"good")
        assert await set_entry(client, key, value) == b"O7\n"
        assert await lookup(client, TOKEN) == b"Ogood\n"
    assert gateway.received == []


@pytest.mark.parametrize("key", [TOKEN, b"priv/" + GUID + b"/comment", SERVER + b"turn"])
async def test_only_deliveries_are_reported_at_the_other_socket(
    service: Service, mail: Path, key: bytes
) -> None:
    await service.start()
    async with dict_client(service.notify) as lua:
        assert (await set_entry(lua, key, b"x")).startswith(b"F7\t")
        assert await lookup(lua, SERVER + b"maxsmtprecipients") == b"N\n"
    assert not (mail / USER.decode() / "metadata.json").exists()


async def test_two_tokens_of_a_transaction_are_stored_or_not(
    service: Service, mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.start()
    first, second = b"S7\t" + TOKEN + b"\tfirst", b"S7\t" + TOKEN + b"\tsecond"
    replace, calls = drafts.replace, []

    def fails_at_second(*arguments: Any, **settings: Any) -> None:
        calls.append(arguments)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "full")
        replace(*arguments, **settings)

    async with dict_client(service.socket) as client:
        monkeypatch.setattr(drafts, "replace", fails_at_second)
        assert await change(client, first, second) == b"O7\n"
        assert await lookup(client, TOKEN) == b"Ofirst second\n"
        third, fourth = b"S7\t" + TOKEN + b"\tthird", b"S7\t" + TOKEN + b"\tfourth"
        assert (await change(client, third, fourth)).startswith(b"F7\t")
        assert await lookup(client, TOKEN) == b"Ofirst second\n"


@pytest.mark.parametrize("user", [b"bob@example.org", b"alice@other.org", b"../../x", b""])
async def test_a_user_without_a_mailbox(service: Service, user: bytes) -> None:
    await service.start()
    async with dict_client(service.socket) as client:
        assert (await set_entry(client, TOKEN, b"one", user)).startswith(b"F7\t")
        assert await deliver(service, user) == b"O7\n"
        assert await lookup(client, TOKEN, user) == b"N\n"


@pytest.mark.parametrize(
    ("settings", "entry", "answer"),
    [
        ({}, b"maxsmtprecipients", b"O1000\n"),
        ({"max_smtp_recipients": 50}, b"maxsmtprecipients", b"O50\n"),
        ({}, b"irohrelay", b"N\n"),
        ({"iroh_relay": "https://iroh.test:1"}, b"irohrelay", b"Ohttps://iroh.test:1\n"),
        ({"iroh_relay": ""}, b"irohrelay", b"N\n"),
        ({}, b"turn", b"N\n"),
        ({}, b"appversions", b"N\n"),
        ({}, b"comment", b"N\n"),
        ({}, b"", b"N\n"),
    ],
)
async def test_entries_of_the_server(
    service: Service, settings: dict[str, object], entry: bytes, answer: bytes
) -> None:
    await service.start(**settings)
    async with dict_client(service.socket) as client:
        assert await lookup(client, SERVER + entry) == answer


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (
            '{\n "clients": [\n  {"clientId": "x", "ü": "a b"}]}\n',
            'O{"clients":[{"clientId":"x","ü":"a b"}]}\n',
        ),
        ("{", "N\n"),
        ("", "N\n"),
        ("[" * 40_000, "N\n"),
        (json.dumps({"x": "x" * 60_000}), "N\n"),
        ("[]", "N\n"),
        ('"x"', "N\n"),
        ('{"x": NaN}', "N\n"),
        ('{"x": "\\ud800"}', "N\n"),
        (json.dumps({"x": "ü" * 8000}), 'O{"x":"' + "ü" * 8000 + '"}\n'),
        (None, "N\n"),
    ],
)
async def test_app_versions(
    service: Service,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    content: str | None,
    answer: str,
) -> None:
    path = tmp_path / "appversions.json"
    if content is not None:
        path.write_text(content)
    await service.start(appversions_path=path)
    async with dict_client(service.socket) as client:
        for _ in range(3):
            assert await lookup(client, SERVER + b"appversions") == answer.encode()
        warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert len(warnings) == (1 if answer == "N\n" else 0)
        path.write_text("{}")
        assert await lookup(client, SERVER + b"appversions") == b"O{}\n"


async def test_turn_from_its_servers_socket(service: Service, socket_dir: Path) -> None:
    expiry = int(time.time()) + 5 * 86400
    says = f"{expiry}:8Dqkyyu11MVESBqjbIylmB06rv8="

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says.encode() + b"\n")
        await reader.read()  # the line is all there is: only the other side closes
        writer.close()

    path = socket_dir / "turn"
    server = await asyncio.start_unix_server(accepted, path)
    await service.start(turn_socket_path=path, turn_port=5349)
    async with dict_client(service.socket) as client:
        told = await lookup(client, SERVER + b"turn")
    assert told.decode() == f"Oexample.org:5349:{says}\n"
    server.close()


async def test_turn_from_a_secret(service: Service, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("north\n")
    await service.start(turn_secret_path=secret)
    async with dict_client(service.socket) as client:
        told = (await lookup(client, SERVER + b"turn")).decode().strip()
    host, port, expiry, password = told.split(":")
    assert (host, port) == ("Oexample.org", "3478")
    assert int(expiry) - time.time() > 48 * 3600
    digest = hmac.digest(b"north", expiry.encode(), "sha1")
    assert base64.b64decode(password) == digest


async def test_a_slow_turn_server_holds_up_nobody_else(
    service: Service, socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turnserver, "TIMEOUT_SECONDS", 0.2)
    connected = asyncio.Event()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    path = socket_dir / "turn"
    server = await asyncio.start_unix_server(accepted, path)
    await service.start(turn_socket_path=path)
    async with dict_client(service.socket) as slow, dict_client(service.socket) as other:
        waiting = asyncio.ensure_future(lookup(slow, SERVER + b"turn"))
        await connected.wait()
        assert await lookup(other, SERVER + b"maxsmtprecipients") == b"O1000\n"
        assert not waiting.done()
        assert await waiting == b"N\n"
    server.close()


async def test_pushes_wait_through_a_restart(service: Service, gateway: Gateway) -> None:
    url = gateway.url
    await gateway.stop()
    await service.start(push_gateway=url)
    async with dict_client(service.socket) as client:
        await set_entry(client, TOKEN, b"one")
        assert await deliver(service) == b"O7\n"
    await service.stop()
    await gateway.start()
    await service.start(push_gateway=url)
    await eventually(lambda: gateway.received == ["one"], "the push after the restart")


async def test_a_gateway_that_hangs_delays_no_answer_and_no_end(
    service: Service, gateway: Gateway
) -> None:
    gateway.hang = {"one"}
    await service.start(push_gateway=gateway.url)
    async with dict_client(service.socket) as client:
        await set_entry(client, TOKEN, b"one")
        for _ in range(3):
            assert await deliver(service) == b"O7\n"
        await eventually(lambda: gateway.hanging == 1, "the request that hangs")
    await service.stop()
    gateway.hang = set()
    await service.start(push_gateway=gateway.url)
    await eventually(lambda: gateway.received == ["one", "one"], "the push, once more")


async def test_a_broken_mailbox_is_a_temporary_failure(
    service: Service, mail: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (mail / USER.decode() / "metadata.json").mkdir()
    await service.start()
    async with dict_client(service.socket) as client:
        assert (await lookup(client, TOKEN)).startswith(b"F")
        assert (await set_entry(client, TOKEN, b"one")).startswith(b"F7\t")
        assert (await deliver(service)).startswith(b"F7\t")
        assert await lookup(client, SERVER + b"maxsmtprecipients") == b"O1000\n"
    assert "Traceback" not in caplog.text
    assert "unexpected" not in caplog.text


async def test_no_list_of_entries(service: Service) -> None:
    await service.start()
    async with dict_client(service.socket) as client:
        assert await client.ask(b"I9\t0\tpriv/" + GUID + b"/\t" + USER) == b"\n"


@pytest.mark.parametrize("nonsense", [b"X\n", b"L", b"S9\tk\tv\n", b"\x00" * 100_000, b"H9\t9\n"])
async def test_a_client_out_of_order_is_alone_in_it(service: Service, nonsense: bytes) -> None:
    await service.start()
    async with dict_client(service.socket) as good:
        async with dict_client(service.socket) as bad:
            await bad.send(nonsense)
        assert await lookup(good, SERVER + b"maxsmtprecipients") == b"O1000\n"


async def test_nothing_of_a_user_in_the_log(
    service: Service, gateway: Gateway, mail: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gateway.status = {"secret-gone": 410, "secret-fails": 500}
    await service.start(push_gateway=gateway.url)
    async with dict_client(service.socket) as client:
        for token in (b"secret-gone", b"secret-fails", b"secret-taken"):
            await set_entry(client, TOKEN, token)
        await set_entry(client, TOKEN, b"secret with blanks")
        await deliver(service)
        await eventually(lambda: len(gateway.received) == 3, "three pushes")
        await set_entry(client, TOKEN, b"secret", b"bob@example.org")
        await lookup(client, b"priv/" + GUID + b"/unknown")
        stored = mail / USER.decode() / "metadata.json"
        await eventually(lambda: "secret-gone" not in stored.read_text(), "its removal")
        stored.write_text("{broken secret")
        await deliver(service)
        await set_entry(client, TOKEN, b"secret-new")
    await service.stop()
    assert "corrupt" in caplog.text
    for private in ("secret", "alice", "bob", GUID.decode()):
        assert private not in caplog.text
