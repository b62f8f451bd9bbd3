"""A mailbox that fills up, on a real Dovecot: its oldest messages make room."""

import imaplib
import os
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from sandbox.clients import Imap
from sandbox.login import Login
from sandbox.relay import Sandbox
from tests.support import poll

pytestmark = pytest.mark.e2e

QUOTA = 1 << 20
MESSAGE = 39_600
DAY = 86400


@pytest.fixture
def small_quota(sandbox: Sandbox, login: Login) -> Iterator[None]:
    """All mailboxes have a quota of 1 MB for the length of a test."""
    config, dovecot = sandbox.layout.config, sandbox.layout.dovecot / "dovecot.conf"
    before = {path: path.read_text() for path in (config, dovecot)}
    config.write_text(f"{before[config]}\nmax_mailbox_size = {QUOTA}\n")
    # 2.3 has storage=, 2.4 storage_size =.
    small = re.sub(r"(storage(?:_size )?= ?)\d+B", rf"\g<1>{QUOTA}B", before[dovecot])
    assert small != before[dovecot]
    dovecot.write_text(small)
    reload = ["doveadm", "-c", str(dovecot), "reload"]
    try:
        subprocess.run(reload, check=True)
        poll(lambda: _limit(sandbox, login) == QUOTA >> 10, "the small quota")
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)
        subprocess.run(reload, check=True)
        poll(lambda: _limit(sandbox, login) > QUOTA >> 10, "the former quota")


def _limit(sandbox: Sandbox, login: Login) -> int:
    """KB of the quota, as a client is told; 0 while Dovecot's processes change."""
    try:
        with Imap(sandbox.ports, login) as imap:
            told = re.search(rb"STORAGE \d+ (\d+)", str(imap.getquotaroot("INBOX")).encode())
    except (imaplib.IMAP4.abort, OSError):
        return 0
    return int(told[1]) if told else 0


def append(imap: Imap, subject: int, age: float) -> None:
    """Store a message of MESSAGE octets (with CRLF), `age` seconds old."""
    head = f"From: a@relay.example\r\nSubject: {subject}\r\n\r\n".encode()
    lines = (os.urandom(37).hex().encode() + b"\r\n" for _ in range(MESSAGE // 76))
    body = b"".join(lines)
    date = imaplib.Time2Internaldate(time.time() - age)
    status, text = imap.append("INBOX", "", date, head + body)
    assert status == "OK", text


def subjects(imap: Imap) -> list[int]:
    imap.select("INBOX")
    _, parts = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return [int(part[1].split()[1]) for part in parts if isinstance(part, tuple)]


def used(imap: Imap) -> int:
    """Percent of the quota, as a client is told."""
    told = re.search(rb"STORAGE (\d+) (\d+)", str(imap.getquotaroot("INBOX")).encode())
    assert told
    return int(told[1]) * 100 // int(told[2])


def test_the_oldest_messages_make_room(sandbox: Sandbox, small_quota: None, login: Login) -> None:
    with Imap(sandbox.ports, login) as imap:
        for number in range(20):
            append(imap, number, age=5 * DAY - number)
        # The twentieth crosses 75 %; the answer to it does not wait for the cleaning.
        poll(lambda: subjects(imap)[:1] != [0], "room")
        left = subjects(imap)
        assert left == list(range(left[0], 20))
        poll(lambda: used(imap) <= 70, "the quota to be counted anew")
        assert used(imap) > 60
    log = (sandbox.layout.logs / "dovecot.log").read_text()
    assert "quota-warning" not in log, "Dovecot complains of the command"
