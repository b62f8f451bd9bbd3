"""A disk without a free octet: expiry is what mends it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relay.mailbox.directory import DAY, MARK, PASSWORD
from tests.postern.expiry.relays import account, configure, message
from tests.support import fill

pytestmark = pytest.mark.e2e


def test_on_a_full_disk_everything_goes_that_is_due_and_nothing_else(small_disk: Path) -> None:
    root, now = small_disk / "mail", int(time.time())
    root.mkdir()
    stays, gone = account(root, "someone12"), account(root, "inactive1")
    for path, idle in ((stays, 0), (gone, 100)):
        day = (now // DAY - idle) * DAY
        os.utime(path / PASSWORD, (day, day))
    kept = [message(stays, 3, octets=1000) for _ in range(3)]
    for path in kept:
        os.utime(path, (now, now))
    for _ in range(30):
        message(stays, 10_000, octets=10_000)
    (stays / "maildirsize").write_text("1000S\n1 1\n")
    config = configure(root)
    fill(small_disk)
    command = [sys.executable, "-m", "postern", "expire", "--remove", "--json"]
    done = subprocess.run(
        [*command, "--config", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["messages_removed"], told["mailboxes_removed"], told["skipped"]) == (30, 1, 0)
    assert {path.name for path in root.iterdir()} == {MARK, stays.name}
    assert set((stays / "cur").iterdir()) == set(kept)
    assert not (stays / "maildirsize").exists()
    assert os.statvfs(small_disk).f_bavail > 0
