"""A mailbox of another chatmail relay, as it lies on its disk, used by a real Dovecot."""

import gzip
import json
import os
import secrets
import shutil
import time
from pathlib import Path

import pytest

from doveauth.hashing import hash_password
from relay.mailbox.directory import DAY, PASSWORD, day_of
from sandbox import arrivals
from sandbox.clients import DEVICE_TOKEN, Imap
from sandbox.layout import MAILBOXES_USER
from sandbox.login import Login, fresh_login
from sandbox.relay import Sandbox
from tests.e2e.tools import encrypted, register, send
from tests.support import poll

pytestmark = pytest.mark.e2e
LETTER = b"From: a@b.example\r\nSubject: [...]\r\nMessage-ID: <kept@localhost>\r\n\r\nkept\r\n"


def lay_down(root: Path, login: Login, token: str) -> Path:
    """Files as that relay's doveauth, metadata and Dovecot (zlib, maildir quota) write them."""
    path, now = root / login.address, int(time.time())
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True)
    (path / "enforceE2EEincoming").touch()
    # With a line end, as some have it.
    (path / PASSWORD).write_text(hash_password(login.password, "saltsaltsaltsalt") + "\n")
    day = day_of(now) - 10 * DAY
    os.utime(path / PASSWORD, (day, day))
    (path / "metadata.json").write_text(json.dumps({"devicetoken": {token: now - 5 * DAY}}))
    size = len(LETTER)
    name = f"{now - DAY}.M1P1.old,S={size},W={size}:2,S"
    (path / "cur" / name).write_bytes(gzip.compress(LETTER))
    (path / "dovecot-uidlist").write_text(
        f"3 V1 N8 G{secrets.token_hex(16)}\n7 :{name.split(':')[0]}\n"
    )
    (path / "maildirsize").write_text(f"524288000S\n{size} 1\n")
    for each in (path, *path.rglob("*")):
        shutil.chown(each, MAILBOXES_USER, MAILBOXES_USER)
    return path


def test_its_owner_logs_in_reads_and_is_woken(sandbox: Sandbox, login: Login) -> None:
    token = f"openpgp:{login.password}"
    path = lay_down(sandbox.layout.mail, login, token)
    stored = (path / PASSWORD).read_text()
    with Imap(sandbox.ports, login) as imap:
        assert imap.wait_for_messages(1) == 1
        assert imap.fetch_message(1) == LETTER
        _, uids = imap.uid("SEARCH", "ALL")
        assert uids == [b"7"]
        assert token.encode() in imap.get_metadata("INBOX", DEVICE_TOKEN)
    assert (path / PASSWORD).read_text() == stored
    today = day_of(int(time.time()))
    poll(lambda: (path / PASSWORD).stat().st_mtime == today, "the day of the login")
    other = fresh_login(sandbox.domain)
    register(sandbox, other)
    send(sandbox, other, [login.address], encrypted(other))
    arrivals.wait_for_token(sandbox.ports["gateway"], token)
    with pytest.raises(Imap.error, match="AUTHENTICATIONFAILED"):
        Imap(sandbox.ports, Login(login.address, "x" * len(login.password)))
