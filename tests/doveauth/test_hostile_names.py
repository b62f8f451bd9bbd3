"""Names that are no names: nothing is made, nobody is harmed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doveauth.daemon import LAST_LOGIN
from relay.dovecot.dictproto import escape
from tests.doveauth.relays import Relay
from tests.support import dict_client

DOMAIN = "example.org"
GOOD = f"someone12@{DOMAIN}"
HOSTILE = [
    "",
    "@",
    f"@{DOMAIN}",
    "someone12",
    "someone12@",
    f"../../../x@{DOMAIN}",
    f"..@{DOMAIN}",
    f"a/b/c/d/e@{DOMAIN}",
    f"/etc/pass@{DOMAIN}",
    f"someone12@{DOMAIN}/..",
    f"someone12@{DOMAIN}/../../x",
    f"some\0ne12@{DOMAIN}",
    f"someone12@{DOMAIN}\0",
    f"some\nne12@{DOMAIN}",
    f"some\tne12@{DOMAIN}",
    f"some\rne12@{DOMAIN}",
    f"someone1\x7f@{DOMAIN}",
    f"some ne12@{DOMAIN}",
    f"ѕomeone12@{DOMAIN}",
    f"someone1\u0308@{DOMAIN}",
    f"someone1\u200b@{DOMAIN}",
    f"someone1\udcff@{DOMAIN}",
    f"\u202esomeone1@{DOMAIN}",
    f"\uff53omeone12@{DOMAIN}",
    f"\u017fomeone12@{DOMAIN}",
    f"someone\u212a1@{DOMAIN}",
    f"\u0131nside123@{DOMAIN}",
    f"someone\u00b92@{DOMAIN}",
    f"someone1\uff0e@{DOMAIN}",
    f"someone12\uff20{DOMAIN}",
    "someone12@ex\u0430mple.org",
    f"someone12@{DOMAIN}.",
    f"someone12@{DOMAIN}..",
    f"someone12.@{DOMAIN}.",
    f"someone12@.{DOMAIN}",
    f"someone1.@{DOMAIN}",
    f".someone1@{DOMAIN}",
    f"some..e12@{DOMAIN}",
    "someone12@ⓔxample.org",
    f"some+tag1@{DOMAIN}",
    f"someone12+tag@{DOMAIN}",
    f"+someone1@{DOMAIN}",
    f"some+tag1@{DOMAIN}x",
    f"{'a' * 10_000}@{DOMAIN}",
    f"someone12@{'a' * 10_000}.org",
    f"a@b@{DOMAIN}",
    f"postmaster@{DOMAIN}",
    f"mailer-daemon@{DOMAIN}",
    f"POSTMASTER@{DOMAIN}",
    f"aBuSe@{DOMAIN}",
    f".expired.someone12@{DOMAIN}~",
    f".removing.12@{DOMAIN}",
    f"password@{DOMAIN}/password",
    "someone12@example.com",
    f"-rf -rf -@{DOMAIN}",
    f"*@{DOMAIN}",
    f'someone12@{DOMAIN}"other',
]


@pytest.fixture
async def relay(socket_dir: Path) -> AsyncIterator[Relay]:
    relay = Relay(socket_dir, "username_min_length = 1\nusername_max_length = 64\n")
    async with relay.running():
        yield relay


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:24]))
async def test_no_account_and_no_file_is_made(relay: Relay, name: str) -> None:
    before = files(relay.directory)
    assert (await relay.login(name)).status == 404
    assert (await relay.user(name)).status == 404
    async with dict_client(relay.socket(LAST_LOGIN)) as client:
        change = escape(f"shared/last-login/{name}") + b"\t1795332101\nC1"
        assert (await client.ask(b"B1\tx\nS1\t" + change))[:1] == b"O"
    assert files(relay.directory) == before
    # And others are served as ever.
    assert (await relay.login(GOOD)).fields["addr"] == GOOD


async def test_upper_case_is_the_same_account(relay: Relay) -> None:
    for name in (GOOD, GOOD.upper(), "SomeOne12@Example.Org"):
        assert (await relay.login(name)).fields["addr"] == GOOD
        assert (await relay.user(name)).status == 200
    assert relay.accounts() == [GOOD]
