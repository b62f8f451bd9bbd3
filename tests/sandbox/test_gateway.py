from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from sandbox.gateway import KEPT, Arrival, Gateway


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Gateway, str]]:
    gateway = Gateway()
    async with TestServer(gateway.app()) as server:
        yield gateway, str(server.make_url("/"))


async def test_it_takes_tokens_and_tells_of_them(gateway: tuple[Gateway, str]) -> None:
    _, url = gateway
    async with ClientSession() as client:
        for token in ("openpgp:one", "openpgp:two"):
            async with client.post(f"{url}notify", data=token) as answer:
                assert answer.status == 200
        async with client.get(url) as answer:
            told = await answer.json()
    assert told["count"] == 2
    assert [arrival["token"] for arrival in told["arrivals"]] == ["openpgp:one", "openpgp:two"]
    assert told["arrivals"][0]["time"] <= told["arrivals"][1]["time"]


async def test_what_it_remembers_is_bounded(gateway: tuple[Gateway, str]) -> None:
    stand_in, url = gateway
    stand_in.arrivals = [Arrival("old", 0.0)] * KEPT
    stand_in.count = KEPT
    async with ClientSession() as client, client.post(f"{url}notify", data="new") as answer:
        assert answer.status == 200
    assert len(stand_in.arrivals) == KEPT
    assert stand_in.arrivals[-1].token == "new"
    assert stand_in.count == KEPT + 1
