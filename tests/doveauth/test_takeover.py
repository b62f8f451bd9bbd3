"""The mailboxes of an existing relay are taken over as they are."""

import asyncio
import gzip
import json
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest

from doveauth.daemon import AUTH, LAST_LOGIN, run
from doveauth.hashing import hash_password
from metadata.tokens.files import FileTokenStore
from relay.config import Config, read_config
from relay.life.sockets import open_unix
from relay.mailbox.directory import DAY, Mailboxes
from relay.owner import Owner
from tests.support import DEADLINE, dict_client

DOMAIN = "example.org"
PASSWORD = "a password of old"
TOKENS = ["openpgp:Zm9v", "openpgp:YmFy"]


@pytest.fixture
def config(socket_dir: Path) -> Config:
    """An existing relay's chatmail.ini, with keys that mean nothing to us any more."""
    path = socket_dir / "chatmail.ini"
    path.write_text(
        f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {socket_dir}/mail\n"
        f"mailboxes_user = {pwd.getpwuid(os.geteuid()).pw_name}\n"
        "max_user_send_per_minute = 60\nmax_mailbox_size = 500M\nmax_message_size = 31457280\n"
        "delete_mails_after = 20\ndelete_large_after = 7\ndelete_inactive_users_after = 90\n"
        "username_min_length = 9\nusername_max_length = 9\npassword_min_length = 9\n"
        "passthrough_senders =\npassthrough_recipients = echo@example.org\n"
        f"nocreate_path = {socket_dir}/nocreate\n"
    )
    return read_config(path)


def account(root: Path, local: str, *, idle_days: int, tokens: object) -> Path:
    """A mailbox as chatmail relays leave it: Dovecot's Maildir, gz messages, maildirsize."""
    path = root / f"{local}@{DOMAIN}"
    for part in ("cur", "new", "tmp", ".DeltaChat/cur"):
        (path / part).mkdir(parents=True)
    (path / "enforceE2EEincoming").touch()
    (path / "password").write_text(hash_password(PASSWORD, "saltsaltsaltsalt"))
    (path / "metadata.json").write_text(json.dumps({"devicetoken": tokens}))
    (path / "maildirsize").write_text("524288000S\n3000 2\n")
    (path / "dovecot-uidlist").write_text("3 V1 N3 G1\n")
    for days, flags in ((2, ":2,S"), (30, ":2,S")):
        stamp = int(time.time()) - days * DAY
        message = path / "cur" / f"{stamp}.M1P1.host,S=1500,W=1530{flags}"
        message.write_bytes(gzip.compress(b"From: a@b\r\n\r\nx" * 100))
        os.utime(message, (stamp, stamp))
    day = (int(time.time()) // DAY - idle_days) * DAY
    os.utime(path / "password", (day, day))
    return path


async def lookup(config: Config, directory: Path, names: list[str]) -> list[bytes]:
    """Log in with each name, as Dovecot asks."""
    shutdown = asyncio.Event()
    listeners = {name: open_unix(directory / name) for name in (AUTH, LAST_LOGIN)}
    task = asyncio.create_task(run(listeners, config, shutdown))
    try:
        async with dict_client(directory / AUTH) as client:
            return [
                await client.ask(f'Lshared/passdb/{PASSWORD}"{name}"\t{name}'.encode())
                for name in names
            ]
    finally:
        shutdown.set()
        async with asyncio.timeout(DEADLINE):
            await task


@pytest.mark.slow
async def test_everybody_logs_in_tokens_work_and_expiry_works(
    socket_dir: Path, config: Config
) -> None:
    root, now = socket_dir / "mail", int(time.time())
    active = account(root, "active001", idle_days=3, tokens={TOKENS[0]: now, TOKENS[1]: now - DAY})
    older = account(root, "olderform", idle_days=10, tokens=TOKENS)
    gone = account(root, "longgone1", idle_days=200, tokens={})
    before = {path: (path / "password").read_text() for path in (active, older)}

    answers = await lookup(config, socket_dir, [active.name, older.name])
    for path, answer in zip((active, older), answers, strict=True):
        told = json.loads(answer[1:])
        assert (told["home"], told["password"]) == (str(path), before[path])
        # What Dovecot does with the two.
        salt = told["password"].split("$")[2]
        assert hash_password(PASSWORD, salt) == told["password"]

    store = FileTokenStore(Mailboxes(root, DOMAIN), Owner(os.geteuid(), os.getegid()))
    assert list(await store.valid(active.name, now)) == TOKENS
    assert list(await store.valid(older.name, now)) == TOKENS
    await store.add(older.name, ["openpgp:bmV3"], now)
    assert list(await store.valid(older.name, now)) == [*TOKENS, "openpgp:bmV3"]
    await store.close()

    command = [sys.executable, "-m", "postern", "expire", "--remove", "--json"]
    command += ["--config", str(socket_dir / "chatmail.ini")]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not gone.exists()
    for path in (active, older):
        assert (path / "password").read_text() == before[path]
        assert len(list((path / "cur").iterdir())) == 1
        assert not (path / "maildirsize").exists()
        assert (path / "dovecot-uidlist").exists()
        assert (path / "enforceE2EEincoming").exists()
