"""What every TokenStore does: add a maker to IMPLEMENTATIONS, and its tests are here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from metadata.tokens.files import FileTokenStore
from metadata.tokens.protocol import NoMailbox, TokenStore
from metadata.tokens.tokenset import LIFETIME, MAX_TOKENS, InvalidToken
from relay.mailbox.directory import Mailboxes
from relay.owner import Owner

ALICE = "alice@example.org"
NOW = 1_800_000_000
IMPLEMENTATIONS: dict[str, Callable[[Path, Owner], TokenStore]] = {
    "files": lambda mail, owner: FileTokenStore(Mailboxes(mail, "example.org"), owner),
}
"""Each makes a store for the mailboxes below a directory: alice's and bob's."""


@pytest.fixture(params=IMPLEMENTATIONS)
async def store(
    request: pytest.FixtureRequest, mail: Path, owner: Owner
) -> AsyncIterator[TokenStore]:
    (mail / "bob@example.org").mkdir()
    made = IMPLEMENTATIONS[request.param](mail, owner)
    yield made
    await made.close()


async def test_tokens_are_kept_in_the_order_they_came(store: TokenStore) -> None:
    assert await store.valid(ALICE, NOW) == ()
    await store.add(ALICE, ["one"], NOW)
    await store.add(ALICE, ["two", "three"], NOW)
    assert await store.valid(ALICE, NOW) == ("one", "two", "three")
    assert await store.valid("bob@example.org", NOW) == ()


async def test_a_token_ends_some_time_after_it_was_last_set(store: TokenStore) -> None:
    await store.add(ALICE, ["old", "again"], NOW)
    await store.add(ALICE, ["again"], NOW + LIFETIME // 2)
    assert await store.valid(ALICE, NOW + LIFETIME) == ("again",)


async def test_a_token_is_removed_and_one_that_is_not_there_too(store: TokenStore) -> None:
    await store.add(ALICE, ["one", "two"], NOW)
    for _ in range(2):
        await store.remove(ALICE, "one")
    assert await store.valid(ALICE, NOW) == ("two",)


async def test_all_tokens_of_a_call_or_none(store: TokenStore) -> None:
    with pytest.raises(InvalidToken):
        await store.add(ALICE, ["good", "a b"], NOW)
    assert await store.valid(ALICE, NOW) == ()


async def test_an_address_has_so_many_and_no_more(store: TokenStore) -> None:
    await store.add(ALICE, [f"t{number}" for number in range(MAX_TOKENS + 5)], NOW)
    kept = await store.valid(ALICE, NOW)
    assert len(kept) == MAX_TOKENS
    assert f"t{MAX_TOKENS + 4}" in kept


@pytest.mark.parametrize("user", ["eve@example.org", "alice@other.org", "", "../x@example.org"])
async def test_who_has_no_mailbox_has_no_tokens(store: TokenStore, user: str) -> None:
    assert await store.valid(user, NOW) == ()
    with pytest.raises(NoMailbox):
        await store.add(user, ["one"], NOW)
    with pytest.raises(NoMailbox):
        await store.remove(user, "one")


async def test_changes_at_the_same_time_lose_nothing(store: TokenStore) -> None:
    await store.add(ALICE, [f"old{number}" for number in range(10)], NOW)
    adding = [store.add(ALICE, [f"new{number}"], NOW) for number in range(10)]
    removing = [store.remove(ALICE, f"old{number}") for number in range(10)]
    await asyncio.gather(*adding, *removing)
    assert set(await store.valid(ALICE, NOW)) == {f"new{number}" for number in range(10)}
