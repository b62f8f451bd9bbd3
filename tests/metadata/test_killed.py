"""kill -9 at any moment loses no push whose SET was answered."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.metadata.gateway import Gateway
from tests.support import Daemon, daemon, dict_client, eventually

FEW, MANY = 8, 200
"""Kills: those of every run of the tests, and those of a whole one."""
MOST_AN_ADDRESS = 400


async def tell_of_messages(path: Path, users: list[str], accepted: list[str]) -> None:
    """Tell of one message a user, one after the other, until the daemon is gone."""
    try:
        async with dict_client(path) as client:
            for user in users:
                await client.send(f"B1\t{user}\nS1\tpriv/0a/messagenew\t\nC1\n".encode())
                if await client.line() != b"O1\n":
                    return
                accepted.append(user)
    except ConnectionError:
        return


async def killed_while_told(path: Path, running: Daemon, users: list[str]) -> list[str]:
    """Those of whose messages the daemon had taken note when it was killed."""
    accepted: list[str] = []
    telling = [tell_of_messages(path, users[number::4], accepted) for number in range(4)]
    told = asyncio.gather(*telling)
    await asyncio.wait([told], timeout=random.uniform(0, 0.15))
    running.process.kill()
    await told
    return accepted


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
async def test_kill_at_any_moment(
    commandline: Callable[[str], list[str]],
    socket_dir: Path,
    mail: Path,
    gateway: Gateway,
    kills: int,
) -> None:
    arguments = commandline(gateway.url)
    accepted: list[str] = []
    for turn in range(kills):
        users = [f"u{turn}-{number}@example.org" for number in range(MOST_AN_ADDRESS)]
        for user in users:
            (mail / user).mkdir()
            stored = json.dumps({"devicetoken": {f"token-{user}": int(time.time())}})
            (mail / user / "metadata.json").write_text(stored)
        with daemon(arguments) as running:
            await asyncio.to_thread(running.wait_for_log, "is up")
            accepted += await killed_while_told(socket_dir / "notify", running, users)
    assert accepted, "no SET was answered before a kill: the test has shown nothing"
    wanted = {f"token-{user}" for user in accepted}
    with daemon(arguments) as running:
        await asyncio.to_thread(running.wait_for_log, "is up")
        await eventually(lambda: wanted <= set(gateway.received), "every push that was accepted")
        assert await asyncio.to_thread(running.terminate) == 0
        assert "ERROR" not in running.log
        assert "token-" not in running.log
    repeated = len(gateway.received) - len(set(gateway.received))
    # What was under way at a kill may come twice: at most what may be in flight, each time.
    assert repeated <= kills * 100
