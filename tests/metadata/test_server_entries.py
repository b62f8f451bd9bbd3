"""The entries of the server over the real socket."""

import asyncio
import base64
import hmac
import json
import logging
import time
from pathlib import Path

import pytest

from metadata.entries import turnserver
from tests.metadata.conftest import Service
from tests.metadata.dialogue import (
    SERVER,
    lookup,
)
from tests.support import dict_client


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
