"""Names that are no names, through doveauth's dict socket: nothing is made, nobody harmed."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doveauth.daemon import AUTH, LAST_LOGIN, run
from relay.config import read_config
from relay.dictproto import escape
from relay.sockets import open_unix
from tests.support import DEADLINE, DictClient, dict_client

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
    f"someone12@{DOMAIN}.",
    f"someone1.@{DOMAIN}",
    f".someone1@{DOMAIN}",
    f"some..e12@{DOMAIN}",
    "someone12@ⓔxample.org",
    f"some+tag1@{DOMAIN}x",
    f"{'a' * 10_000}@{DOMAIN}",
    f"someone12@{'a' * 10_000}.org",
    f"a@b@{DOMAIN}",
    f"postmaster@{DOMAIN}",
    f"mailer-daemon@{DOMAIN}",
    f"POSTMASTER@{DOMAIN}",
    "someone12@example.com",
    f"-rf -rf -@{DOMAIN}",
    f"*@{DOMAIN}",
    f'someone12@{DOMAIN}"other',
]


@pytest.fixture
async def client(socket_dir: Path) -> AsyncIterator[DictClient]:
    config = socket_dir / "chatmail.ini"
    config.write_text(
        f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {socket_dir}/in/mail\n"
        f"mailboxes_user = {pwd.getpwuid(os.geteuid()).pw_name}\n"
        f"nocreate_path = {socket_dir}/nocreate\nmax_load_1m = 1000\n"
        "min_available_memory = 1M\nmin_free_disk_space = 1M\n"
    )
    shutdown = asyncio.Event()
    listeners = {name: open_unix(socket_dir / name) for name in (AUTH, LAST_LOGIN)}
    task = asyncio.create_task(run(listeners, read_config(config), shutdown))
    try:
        async with dict_client(socket_dir / AUTH) as client:
            # The daemon is up, and has made its directory.
            assert await client.ask(f"Lshared/userdb/{GOOD}\t{GOOD}".encode()) == b"N\n"
            yield client
    finally:
        shutdown.set()
        async with asyncio.timeout(DEADLINE):
            await task


def quoted(text: str) -> str:
    r"""As Dovecot's %E writes it: a backslash before \, " and '."""
    return "".join(f"\\{c}" if c in "\\\"'" else c for c in text)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:24]))
async def test_no_account_and_no_file_is_made(
    client: DictClient, socket_dir: Path, name: str
) -> None:
    before = files(socket_dir)
    passdb = escape(f'shared/passdb/password1"{quoted(name)}"192.0.2.1')
    assert await client.ask(b"L" + passdb + b"\t" + escape(name)) == b"N\n"
    userdb = escape(f"shared/userdb/{quoted(name)}")
    assert await client.ask(b"L" + userdb + b"\t" + escape(name)) == b"N\n"
    assert files(socket_dir) == before
    # And others are served as ever.
    assert (await client.ask(f'Lshared/passdb/password1"{GOOD}"\t{GOOD}'.encode()))[:1] == b"O"


async def test_upper_case_is_the_same_account(client: DictClient, socket_dir: Path) -> None:
    for name in (GOOD, GOOD.upper(), "SomeOne12@Example.Org"):
        answer = await client.ask(f'Lshared/passdb/password1"{name}"\t{name}'.encode())
        assert f'"addr": "{GOOD}"'.encode() in answer
    assert [path.name for path in (socket_dir / "in" / "mail").iterdir()] == [GOOD]
