"""Addresses that clients are offered: free ones, for guests where guests are wanted."""

import re
from dataclasses import replace

import pytest

from doveauth import offers as module
from doveauth.offers import Offer, Offers, Refused
from doveauth.policy import Refusal
from doveauth.registrar import NotNow, Terms
from relay.address import Address
from tests.doveauth.registrars import PLENTY, RULES, Promises, registrar, terms
from tests.doveauth.stores.memory import MemoryAccounts

INVITE = replace(RULES, registration="invite")
REMOTE = "192.0.2.1"


async def offered(of: Terms, token: str = "", store: MemoryAccounts | None = None) -> Offer:
    async with registrar(of, store) as accounts:
        return await Offers(accounts, of).offer(token, REMOTE)


async def refused(of: Terms, token: str = "") -> Refusal:
    with pytest.raises(Refused) as raised:
        await offered(of, token)
    return raised.value.refusal


async def test_an_offer_is_random_and_stores_nothing() -> None:
    store = MemoryAccounts()
    offer = await offered(terms(), store=store)
    assert re.fullmatch(r"[a-z0-9]{9}@example\.org", offer.address)
    assert re.fullmatch(r"[A-Za-z0-9]{22}", offer.password)
    assert offer != await offered(terms(), store=store)
    assert store.accounts == {}


async def test_only_a_name_that_may_be_made_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryAccounts()
    short = replace(RULES, username_min_length=3, username_max_length=3)
    blocked, taken = Address("blk", "example.org"), Address("has", "example.org")
    store.blocked.add(blocked)
    await store.create(taken, "hash")
    names = iter(["ftp", "www", "noc", "blk", "has", "new"])
    monkeypatch.setattr(
        module, "_text", lambda _alphabet, length: next(names) if length == 3 else "p" * length
    )
    assert (await offered(terms(rules=short), store=store)).address == "new@example.org"


async def test_where_every_name_is_taken_the_answer_is_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        module, "_text", lambda _alphabet, length: "www"[:length].ljust(length, "p")
    )
    short = replace(RULES, username_min_length=3, username_max_length=3)
    assert await refused(terms(rules=short)) is Refusal.NO_FREE_NAME


async def test_a_promise_is_never_overwritten_and_no_use_is_spent_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    promises = Promises(promised1="their password")
    promises.tokens["token"] = 1
    names = iter(["promised1", "freename1"])
    monkeypatch.setattr(
        module, "_text", lambda _alphabet, length: next(names) if length == 9 else "p" * length
    )
    offer = await offered(terms(rules=INVITE, promises=promises), "token")
    assert offer.address == "freename1@example.org"
    assert promises.logins == {
        "promised1@example.org": "their password",
        offer.address: offer.password,
    }
    assert promises.tokens == {"token": 0}


async def test_by_invitation() -> None:
    promises = Promises()
    promises.tokens["token"] = 1
    of = terms(rules=INVITE, promises=promises)
    assert await refused(of) is Refusal.NOT_INVITED
    assert await refused(of, "wrong") is Refusal.BAD_INVITATION
    await offered(of, "token")
    assert await refused(of, "token") is Refusal.BAD_INVITATION


async def test_guesses_do_not_shut_out_a_guest_of_the_same_network() -> None:
    promises = Promises()
    promises.tokens["token"] = 3
    of = terms(rules=INVITE, promises=promises, per_hour=2)
    for guess in range(20):
        assert await refused(of, f"guess{guess}") is Refusal.BAD_INVITATION
    await offered(of, "token")
    await offered(of, "token")
    assert await refused(of, "token") is Refusal.NETWORK
    assert promises.tokens == {"token": 1}


async def test_closed_short_or_in_trouble() -> None:
    assert await refused(terms(rules=replace(RULES, registration="closed"))) is Refusal.CLOSED
    assert await refused(terms(resources=lambda: replace(PLENTY, disk=0))) is Refusal.DISK
    store = MemoryAccounts()
    store.trouble = OSError(5, "Input/output error")
    of = terms(per_hour=1)
    with pytest.raises(NotNow):
        await offered(of, store=store)
    store.trouble = None
    # What came to nothing was not counted.
    await offered(of, store=store)
