"""The mailboxes of an existing relay are taken over as they are."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from doveauth.hashing import hash_password
from metadata.tokens.files import FileTokenStore
from relay.mailbox.directory import DAY, MARK, Mailboxes
from relay.owner import Owner
from tests.doveauth.relays import Relay

DOMAIN = "example.org"
PASSWORD = "a password of old"
TOKENS = ["openpgp:Zm9v", "openpgp:YmFy"]


EXISTING = """\
max_user_send_per_minute = 60
max_mailbox_size = 500M
max_message_size = 31457280
delete_mails_after = 20
delete_large_after = 7
delete_inactive_users_after = 90
username_min_length = 9
username_max_length = 9
password_min_length = 9
passthrough_senders =\x20
passthrough_recipients = echo@example.org
"""
"""An existing relay's chatmail.ini, with keys that have no effect any more."""


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


@pytest.mark.slow
async def test_everybody_logs_in_tokens_work_and_expiry_works(
    socket_dir: Path,
) -> None:
    relay = Relay(socket_dir, EXISTING, prepared=False)
    root, now = relay.mail, int(time.time())
    active = account(root, "active001", idle_days=3, tokens={TOKENS[0]: now, TOKENS[1]: now - DAY})
    older = account(root, "olderform", idle_days=10, tokens=TOKENS)
    gone = account(root, "longgone1", idle_days=200, tokens={})
    before = {path: (path / "password").read_text() for path in (active, older)}

    async with relay.running():
        # Nobody has said yet that this is the disk of the mailboxes.
        assert (await relay.login(active.name, PASSWORD)).status == 503
        (root / MARK).touch()
        answers = [await relay.login(path.name, PASSWORD) for path in (active, older)]
    for path, answer in zip((active, older), answers, strict=True):
        told = answer.fields
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
    command += ["--config", str(relay.config_path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not gone.exists()
    for path in (active, older):
        assert (path / "password").read_text() == before[path]
        assert len(list((path / "cur").iterdir())) == 1
        assert not (path / "maildirsize").exists()
        assert (path / "dovecot-uidlist").exists()
        assert (path / "enforceE2EEincoming").exists()
