"""The tests' own store keeps the contract, or what they show would be worth nothing."""

import pytest

from relay.address import Address
from tests.doveauth.stores.contract import *  # noqa: F403 - its tests are run here
from tests.doveauth.stores.contract import Block
from tests.doveauth.stores.memory import MemoryAccounts


@pytest.fixture
def store() -> MemoryAccounts:
    return MemoryAccounts()


@pytest.fixture
def block(store: MemoryAccounts) -> Block:
    def block(address: Address) -> None:
        store.blocked.add(address)

    return block
