"""Creation that is killed at any of its steps, or finds the disk full."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.mailbox import PASSWORD, Mailbox, Owner

DAY = 1795305600
OWNER = Owner(os.geteuid(), os.getegid())
HASH = "{SHA512-CRYPT}$6$salt$hash"
CHILD = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[2])

def counted(function):
    def call(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*arguments, **named)
    return call

for name in ("mkdir", "open", "close", "utime", "fsync", "link", "unlink", "chown"):
    setattr(os, name, counted(getattr(os, name)))
from relay.mailbox import Mailbox, Owner
owner = Owner(os.geteuid(), os.getegid())
Mailbox(Path(sys.argv[1])).create("{SHA512-CRYPT}$6$salt$first", owner, 0)
"""


def test_killed_at_any_step_it_is_whole_or_no_account_and_the_next_login_completes_it(
    tmp_path: Path,
) -> None:
    for step in range(100):
        path = tmp_path / f"someone{step:02}@example.org"
        done = subprocess.run([sys.executable, "-c", CHILD, str(path), str(step)], check=False)
        mailbox = Mailbox(path)
        held = mailbox.password_hash()
        assert held in (None, "{SHA512-CRYPT}$6$salt$first")
        assert not mailbox.is_blocked()
        assert mailbox.create(HASH, OWNER, DAY) == (held or HASH)
        if done.returncode == 0:
            assert step > 10
            return
        assert done.returncode == -signal.SIGKILL
    pytest.fail("the creation never came to its end")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own without a free octet."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.e2e
def test_a_full_disk_leaves_no_account_and_none_without_its_hash(full_disk: Path) -> None:
    ballast = full_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(1 << 20))
    mailbox = Mailbox(full_disk / "someone12@example.org")
    with pytest.raises(OSError, match="No space left"):
        mailbox.create(HASH, OWNER, DAY)
    assert mailbox.password_hash() is None
    assert not mailbox.is_blocked()
    ballast.unlink()
    assert mailbox.create(HASH, OWNER, DAY) == HASH
    assert sorted(path.name for path in mailbox.path.iterdir()) == ["enforceE2EEincoming", PASSWORD]
