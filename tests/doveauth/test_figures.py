"""What doveauth counts, read where Prometheus reads it."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from doveauth.daemon import AUTH, LAST_LOGIN, LOOKUPS, run
from doveauth.policy import Refusal
from relay.config import read_config
from relay.life.metrics import METRICS
from relay.life.sockets import open_unix
from tests.support import DEADLINE, dict_client

Figures = dict[tuple[str, ...], float]
"""Values by name and labels."""


@pytest.fixture
def sockets(socket_dir: Path) -> dict[str, Path]:
    return {name: socket_dir / name for name in (AUTH, LAST_LOGIN, LOOKUPS, METRICS)}


@pytest.fixture
async def scrape(
    socket_dir: Path, sockets: dict[str, Path]
) -> AsyncIterator[Callable[[], Awaitable[tuple[str, Figures]]]]:
    """Read the figures of a running doveauth."""
    config = socket_dir / "chatmail.ini"
    config.write_text(
        f"[params]\nmail_domain = example.org\nmailboxes_dir = {socket_dir}/mail\n"
        f"mailboxes_user = {pwd.getpwuid(os.geteuid()).pw_name}\n"
        f"nocreate_path = {socket_dir}/nocreate\nmax_load_1m = 1000\n"
        "min_available_memory = 1M\nmin_free_disk_space = 1M\n"
        "max_creations_per_hour_per_network = 1\n"
    )
    shutdown = asyncio.Event()
    listeners = {name: open_unix(path) for name, path in sockets.items()}
    task = asyncio.create_task(run(listeners, read_config(config), shutdown))

    async def read() -> tuple[str, Figures]:
        connector = aiohttp.UnixConnector(str(sockets[METRICS]))
        async with (
            aiohttp.ClientSession("http://doveauth", connector=connector) as session,
            session.get("/metrics") as answer,
        ):
            text = await answer.text()
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return text, {(s.name, *s.labels.values()): s.value for s in samples}

    yield read
    shutdown.set()
    async with asyncio.timeout(DEADLINE):
        await task


async def test_logins_creations_refusals_and_latencies_are_counted(
    scrape: Callable[[], Awaitable[tuple[str, Figures]]], socket_dir: Path, sockets: dict[str, Path]
) -> None:
    _, figures = await scrape()
    # All are there from the start, so that a rate can be made of the first of each.
    assert {each[1] for each in figures if each[0] == "doveauth_refusals_total"} == {
        reason.name.lower() for reason in Refusal
    }
    assert figures["doveauth_accounts_created_total",] == 0

    async with dict_client(sockets[AUTH]) as dovecot:

        async def login(name: str, remote: str = "") -> bytes:
            return (await dovecot.ask(f'Lshared/passdb/password1"{name}"{remote}'.encode()))[:2]

        assert [await login("someone12@example.org", "192.0.2.1") for _ in range(3)] == [b"O{"] * 3
        assert await login("short@example.org") == b"N\n"
        assert await login("../x@example.org") == b"N\n"
        assert await login("another12@example.org", "192.0.2.2") == b"On"
        assert await dovecot.ask(b"Lshared/userdb/someone12@example.org") != b"N\n"
        (socket_dir / "mail").rename(socket_dir / "aside")
        (socket_dir / "mail").write_text("no directory any more")
        assert await login("someone12@example.org") == b"On"
    connector = aiohttp.UnixConnector(str(sockets[LOOKUPS]))
    async with (
        aiohttp.ClientSession("http://doveauth", connector=connector) as session,
        session.post("/userdb", data={"username": "nobody123@example.com"}) as answer,
    ):
        assert answer.status == 404

    text, figures = await scrape()
    assert figures["doveauth_accounts_created_total",] == 1
    assert {
        each[1:]: value for each, value in figures.items() if each[0] == "doveauth_lookups_total"
    } == {
        ("passdb", "found"): 3,
        ("passdb", "unknown"): 2,
        ("passdb", "failed"): 2,
        ("userdb", "found"): 1,
        ("userdb", "unknown"): 1,
        ("userdb", "failed"): 0,
    }
    refused = {e[1]: v for e, v in figures.items() if e[0] == "doveauth_refusals_total" and v}
    assert refused == {"username_too_short": 1, "no_mailbox_name": 1, "network": 1}
    assert figures["doveauth_lookup_seconds_count", "passdb"] == 7
    assert figures["doveauth_lookup_seconds_bucket", "passdb", "+Inf"] == 7
    assert 0 < figures["doveauth_lookup_seconds_sum", "passdb"] < DEADLINE
    # A first login hashes, which takes milliseconds: it is in no bucket below one.
    assert figures["doveauth_lookup_seconds_bucket", "passdb", "0.0005"] < 7
    assert "@" not in text
    assert "192.0.2" not in text
