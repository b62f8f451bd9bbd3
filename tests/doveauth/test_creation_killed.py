"""Creation that is killed at any of its steps, or finds the disk full."""

import os
from pathlib import Path

import pytest

from relay.mailbox.directory import PASSWORD, Mailbox
from relay.owner import Owner
from tests.killing import steps_killed
from tests.support import fill

DAY = 1795305600
OWNER = Owner(os.geteuid(), os.getegid())
HASH = "{SHA512-CRYPT}$6$salt$hash"
FIRST = "{SHA512-CRYPT}$6$salt$first"
CALLS = "mkdir open write close utime fsync link unlink chown"
CREATION = """
from pathlib import Path
from relay.mailbox.directory import Mailbox, Owner

def work(step):
    for kind in "abc":
        mailbox = Mailbox(Path(sys.argv[3], f"{kind}-{step:04}@example.org"))
        mailbox.create(sys.argv[4], Owner(os.geteuid(), os.getegid()), 0)
"""


def test_killed_at_any_step_it_is_whole_or_no_account_and_the_next_login_completes_it(
    tmp_path: Path,
) -> None:
    killed = steps_killed(CALLS, CREATION, [str(tmp_path), FIRST])
    assert killed > 30
    states = set()
    for step in range(killed + 1):
        mailboxes = [Mailbox(tmp_path / f"{kind}-{step:04}@example.org") for kind in "abc"]
        held = [mailbox.recover_and_read() for mailbox in mailboxes]
        assert set(held) <= {None, FIRST}
        assert not any(mailbox.is_blocked() for mailbox in mailboxes)
        made = [mailbox.create(HASH, OWNER, DAY) for mailbox in mailboxes]
        assert made == [each or HASH for each in held]
        states.add(held.count(FIRST))
    assert states == {0, 1, 2, 3}


def test_nothing_is_answered_that_a_power_cut_could_take_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    fsync, link = os.fsync, os.link

    def recorded_fsync(descriptor: int) -> None:
        done.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def recorded_link(source: Path, target: Path) -> None:
        done.append(("link", str(source)))
        link(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "link", recorded_link)
    mailbox = Mailbox(tmp_path / "someone12@example.org")
    mailbox.create(HASH, OWNER, DAY)
    (at,) = (number for number, (what, _) in enumerate(done) if what == "link")
    # The hash before its name, and the names of file and directory before the answer.
    assert ("fsync", done[at][1]) in done[:at]
    assert {("fsync", str(mailbox.path)), ("fsync", str(tmp_path))} <= set(done[at:])


@pytest.mark.e2e
def test_a_full_disk_leaves_no_account_and_none_without_its_hash(small_disk: Path) -> None:
    ballast = fill(small_disk)
    mailbox = Mailbox(small_disk / "someone12@example.org")
    with pytest.raises(OSError, match="No space left"):
        mailbox.create(HASH, OWNER, DAY)
    assert mailbox.recover_and_read() is None
    assert not mailbox.is_blocked()
    ballast.unlink()
    assert mailbox.create(HASH, OWNER, DAY) == HASH
    assert sorted(path.name for path in mailbox.path.iterdir()) == ["enforceE2EEincoming", PASSWORD]
