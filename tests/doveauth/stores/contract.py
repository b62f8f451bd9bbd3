"""What every account store must satisfy: import * into a test module with a fixture `store`.

The fixture yields an empty store of `DOMAIN`; `block` is how its operator blocks an address.
"""

import asyncio
from collections.abc import Callable

import pytest

from doveauth.stores.protocol import Account, AccountStore, Blocked
from relay.address import Address

DOMAIN = "example.org"
ONE, OTHER = Address("someone12", DOMAIN), Address("another12", DOMAIN)
HASH = "{SHA512-CRYPT}$6$salt$hash"
NOON = 1795348800

Block = Callable[[Address], None]


async def test_nobody_is_there_at_first(store: AccountStore) -> None:
    assert await store.find(ONE) is None
    assert await store.names() == []


async def test_an_account_is_found_as_it_was_made(store: AccountStore) -> None:
    made = await store.create(ONE, HASH)
    assert (made.address, made.password_hash) == (str(ONE), HASH)
    assert await store.find(ONE) == made
    assert await store.find(OTHER) is None
    assert await store.names() == [str(ONE)]


async def test_an_existing_account_is_never_replaced(store: AccountStore) -> None:
    made = await store.create(ONE, HASH)
    assert await store.create(ONE, "{SHA512-CRYPT}$6$other$hash") == made
    assert await store.find(ONE) == made


async def test_of_simultaneous_creators_one_wins_and_all_get_its_account(
    store: AccountStore,
) -> None:
    hashes = [f"{{SHA512-CRYPT}}$6$salt$hash{number}" for number in range(20)]
    made = await asyncio.gather(*(store.create(ONE, each) for each in hashes))
    assert len(set(made)) == 1
    assert made[0].password_hash in hashes
    assert await store.find(ONE) == made[0]


async def test_a_blocked_address_has_no_account_and_gets_none(
    store: AccountStore, block: Block
) -> None:
    await store.create(ONE, HASH)
    for address in (ONE, OTHER):
        block(address)
        with pytest.raises(Blocked):
            await store.find(address)
        with pytest.raises(Blocked):
            await store.create(address, HASH)
    assert await store.names() == []


async def test_a_login_makes_and_changes_no_account(store: AccountStore) -> None:
    await store.touch(ONE, NOON)
    assert await store.find(ONE) is None
    made = await store.create(ONE, HASH)
    await store.touch(ONE, NOON)
    assert await store.find(ONE) == made


async def test_all_accounts_are_listed(store: AccountStore) -> None:
    addresses = [Address(f"user{number:05}", DOMAIN) for number in range(50)]
    made = await asyncio.gather(*(store.create(address, HASH) for address in addresses))
    assert all(isinstance(each, Account) for each in made)
    assert sorted(await store.names()) == [str(address) for address in addresses]


async def test_closing_finishes_what_is_under_way(store: AccountStore) -> None:
    under_way = asyncio.ensure_future(store.create(ONE, HASH))
    await asyncio.sleep(0)
    await store.close()
    assert (await under_way).password_hash == HASH
