"""The whole service over its real socket, in the octets that Dovecot 2.3.19 sends (captured)."""

import asyncio
import errno
import logging
from pathlib import Path
from typing import Any

import pytest

from relay.mailbox import drafts
from tests.metadata.conftest import Service
from tests.metadata.dialogue import (
    GUID,
    MESSAGE,
    SERVER,
    TOKEN,
    USER,
    change,
    deliver,
    lookup,
    set_entry,
)
from tests.metadata.gateway import Gateway
from tests.support import dict_client, eventually


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
