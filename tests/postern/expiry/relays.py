"""Mailboxes directories as existing relays leave them."""

import getpass
import gzip
import os
from pathlib import Path

from postern.expiry.rules import DAY, Rules
from relay.config import parse_config
from relay.mailbox.directory import ENFORCE, MARK, METADATA, PASSWORD, day_of

DOMAIN = "example.org"
NOW = 1795332101


def rules(quota: int = 1 << 20, now: int = NOW) -> Rules:
    config, _ = parse_config(
        f"[params]\nmail_domain = {DOMAIN}\nmax_mailbox_size = {quota}\n", "chatmail.ini"
    )
    return Rules.of(config, now)


def configure(root: Path, *lines: str) -> Path:
    """A configuration beside the mailboxes' directory, which is marked as mounted."""
    root.mkdir(exist_ok=True)
    (root / MARK).touch()
    path = root.parent / "chatmail.ini"
    path.write_text(
        f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {root}\n"
        f"mailboxes_user = {getpass.getuser()}\n" + "".join(f"{line}\n" for line in lines)
    )
    return path


def account(root: Path, local: str, *, idle_days: float = 0, password: str = "{PLAIN}x") -> Path:
    mailbox = root / f"{local}@{DOMAIN}"
    for part in ("cur", "new", "tmp"):
        (mailbox / part).mkdir(parents=True)
    (mailbox / ENFORCE).touch()
    (mailbox / METADATA).write_text('{"devicetoken": {"openpgp:token": 1795300000}}')
    (mailbox / PASSWORD).write_text(password)
    day = day_of(int(NOW - idle_days * DAY))
    os.utime(mailbox / PASSWORD, (day, day))
    return mailbox


def message(
    mailbox: Path, days: float, *, octets: int = 10, part: str = "cur", flags: str = ""
) -> Path:
    directory = mailbox / part
    directory.mkdir(parents=True, exist_ok=True)
    number = len(list(directory.iterdir()))
    suffix = f":2,{flags}" if part.endswith("cur") else ""
    path = directory / f"{int(NOW - days * DAY)}.M{number}P1.host,S={octets},W={octets}{suffix}"
    path.write_bytes(gzip.compress(b"x") + bytes(octets))
    os.utime(path, (NOW - days * DAY, NOW - days * DAY))
    return path


def everything(root: Path) -> set[str]:
    """All files and directories, relative."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}
