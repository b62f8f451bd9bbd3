"""A relay's mailboxes, half of whose messages are due."""

import getpass
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from relay.mailbox.directory import MARK

DOMAIN = "relay.example"
MESSAGES = 10
"""In a mailbox: half of them due, half of them read."""
DAY = 86400
DUE_DAYS, FRESH_DAYS = 40, 3
CONFIG = """\
[params]
mail_domain = relay.example
mailboxes_dir = {directory}/mail
mailboxes_user = {user}
delete_mails_after = 20
"""
_HASH = "{SHA512-CRYPT}$6$salt$hash"
_MESSAGE = b"From: <a@relay.example>\r\n\r\n" + b"x" * 200 + b"\r\n"


def build(directory: Path, mailboxes: int) -> Path:
    """Make the mailboxes and a configuration in `directory`; the configuration's path."""
    config = directory / "chatmail.ini"
    config.write_text(CONFIG.format(directory=directory, user=getpass.getuser()))
    root = directory / "mail"
    root.mkdir()
    (root / MARK).touch()
    with ProcessPoolExecutor() as pool:
        # Drained: it raises what went wrong.
        list(pool.map(partial(_mailbox, root), range(mailboxes), chunksize=200))
    os.sync()
    return config


def messages(root: Path) -> int:
    """How many messages there are."""
    return sum(len(files) for path, _, files in os.walk(root) if path.endswith(("/cur", "/new")))


def _mailbox(root: Path, number: int) -> None:
    path = f"{root}/u{number:08d}@{DOMAIN}"
    for part in ("", "cur", "new", "tmp"):
        Path(path, part).mkdir(0o700)
    now = int(time.time())
    _file(f"{path}/password", _HASH.encode(), now - now % DAY)
    _file(f"{path}/enforceE2EEincoming", b"", now)
    _file(f"{path}/maildirsize", b"524288000S\n2350 10\n", now)
    for each in range(MESSAGES):
        stamp = now - DAY * (DUE_DAYS if each % 2 else FRESH_DAYS) - each
        part, flags = ("cur", ":2,S") if each < MESSAGES // 2 else ("new", "")
        name = f"{stamp}.M{each}P{number}.host,S={len(_MESSAGE)},W={len(_MESSAGE)}{flags}"
        _file(f"{path}/{part}/{name}", _MESSAGE, stamp)


def _file(path: str, content: bytes, stamp: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(descriptor, content)
    os.utime(descriptor, (stamp, stamp))
    os.close(descriptor)
