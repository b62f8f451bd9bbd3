"""Mailbox directories: the form on disk, and that nothing half-made ever counts as an account."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from relay.address import Address, InvalidAddress
from relay.mailbox.directory import (
    DAY,
    ENFORCE,
    PASSWORD,
    BlockedMailbox,
    Mailbox,
    Mailboxes,
    day_of,
)
from relay.mailbox.drafts import NotRegular
from relay.owner import Owner
from tests.support import DEADLINE

NOW = 1795332101
TODAY = 1795305600
HASH = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "h" * 86
MYSELF = Owner(os.geteuid(), os.getegid())


@pytest.fixture
def mailboxes(tmp_path: Path) -> Mailboxes:
    return Mailboxes(tmp_path, "example.org")


def mailbox(mailboxes: Mailboxes, name: str = "someone@example.org") -> Mailbox:
    found = mailboxes.of(Address.parse(name))
    assert found is not None
    return found


def test_the_form_on_disk_is_that_of_existing_relays(mailboxes: Mailboxes, tmp_path: Path) -> None:
    assert mailbox(mailboxes).create(HASH, MYSELF, NOW) == HASH
    home = tmp_path / "someone@example.org"
    assert {path.name for path in home.iterdir()} == {"password", "enforceE2EEincoming"}
    assert (home / "password").read_bytes() == HASH.encode()
    assert (home / "password").stat().st_mtime == TODAY
    assert (home / "enforceE2EEincoming").read_bytes() == b""
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "enforceE2EEincoming").stat().st_mode) == 0o600


def test_everything_belongs_to_the_owner(mailboxes: Mailboxes, tmp_path: Path) -> None:
    # Only root can give files away; whoever else makes them has them.
    owner = Owner.named("nobody") if os.geteuid() == 0 else MYSELF
    mailbox(mailboxes).create(HASH, owner, NOW)
    home = tmp_path / "someone@example.org"
    for path in (home, home / PASSWORD, home / ENFORCE):
        assert (path.stat().st_uid, path.stat().st_gid) == (owner.uid, owner.gid)


def test_an_account_that_is_there_is_left_as_it_is(mailboxes: Mailboxes) -> None:
    place = mailbox(mailboxes)
    place.create(HASH, MYSELF, NOW - 3 * DAY)
    assert place.create("{SHA512-CRYPT}$6$other", MYSELF, NOW) == HASH
    assert place.recover_and_read() == HASH
    assert place.last_login() == TODAY - 3 * DAY


def test_of_fifty_simultaneous_creators_one_wins(mailboxes: Mailboxes, tmp_path: Path) -> None:
    together = Barrier(50)

    def create(number: int) -> str:
        together.wait(DEADLINE)
        return mailbox(mailboxes).create(f"hash-{number}", MYSELF, NOW)

    with ThreadPoolExecutor(50) as threads:
        held = set(threads.map(create, range(50)))
    assert held == {mailbox(mailboxes).recover_and_read()}
    assert {path.name for path in (tmp_path / "someone@example.org").iterdir()} == {
        PASSWORD,
        ENFORCE,
    }


@pytest.mark.parametrize(
    "left_behind",
    [
        [],
        [ENFORCE],
        [ENFORCE, ".password-abcdefgh"],
        [".password-abcdefgh"],
    ],
)
def test_what_a_crash_leaves_is_no_account_and_is_completed(
    mailboxes: Mailboxes, tmp_path: Path, left_behind: list[str]
) -> None:
    home = tmp_path / "someone@example.org"
    home.mkdir(mode=0o755)
    for name in left_behind:
        (home / name).write_text("{SHA512-CRYPT}$6$half"[: 10 * name.startswith(".")])
    place = mailbox(mailboxes)
    assert place.recover_and_read() is None
    assert place.last_login() is None
    assert not place.is_blocked()
    assert not place.accepts_cleartext()
    assert mailboxes.names() == []
    assert place.create(HASH, MYSELF, NOW) == HASH
    assert not place.accepts_cleartext()
    assert mailboxes.names() == ["someone@example.org"]


_CREATE_FOREVER = """
import itertools, os, sys
from pathlib import Path
from relay.mailbox.directory import Mailbox, Owner
for number in itertools.count():
    Mailbox(Path(sys.argv[1]) / f"user{number}@example.org").create(
        sys.argv[2], Owner(os.geteuid(), os.getegid()), 1795332101
    )
    print(number, flush=True)
"""


@pytest.mark.parametrize("told_before_the_kill", [1, 3, 7, 20])
def test_a_killed_creator_leaves_whole_accounts_or_none(
    mailboxes: Mailboxes, tmp_path: Path, told_before_the_kill: int
) -> None:
    creator = subprocess.Popen(
        [sys.executable, "-c", _CREATE_FOREVER, str(tmp_path), HASH], stdout=subprocess.PIPE
    )
    with creator:
        assert creator.stdout is not None
        for _ in range(told_before_the_kill):
            assert creator.stdout.readline()
        creator.kill()
        told = told_before_the_kill + len(creator.stdout.read().splitlines())
    names = set(mailboxes.names())
    assert names >= {f"user{number}@example.org" for number in range(told)}
    for entry in tmp_path.iterdir():
        place = Mailbox(entry)
        assert place.recover_and_read() == (HASH if entry.name in names else None)
        if entry.name in names:
            assert (entry / ENFORCE).exists()
        assert place.create(HASH, MYSELF, NOW) == HASH


def test_what_the_disk_does_not_keep_is_no_account_and_leaves_no_draft(
    mailboxes: Mailboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    place = mailbox(mailboxes)
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="Input/output error"):
            place.create(HASH, MYSELF, NOW)
    assert place.recover_and_read() is None
    assert {path.name for path in place.path.iterdir()} == {ENFORCE}
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_looking_at_a_hash_leaves_no_time(mailboxes: Mailboxes) -> None:
    place = mailbox(mailboxes)
    place.create(HASH, MYSELF, NOW)
    os.utime(place.path / PASSWORD, (0, TODAY))
    assert place.recover_and_read() == HASH
    assert (place.path / PASSWORD).stat().st_atime == 0


def test_an_empty_password_file_blocks_the_address(mailboxes: Mailboxes) -> None:
    place = mailbox(mailboxes)
    place.create(HASH, MYSELF, NOW)
    assert not place.is_blocked()
    (place.path / PASSWORD).write_text("")
    assert place.is_blocked()
    assert place.recover_and_read() is None
    assert mailboxes.names() == []
    with pytest.raises(BlockedMailbox):
        place.create(HASH, MYSELF, NOW)
    assert (place.path / PASSWORD).read_text() == ""


def test_cleartext_is_accepted_by_an_account_without_the_mark_alone(mailboxes: Mailboxes) -> None:
    place = mailbox(mailboxes)
    assert not place.accepts_cleartext()
    place.create(HASH, MYSELF, NOW)
    assert not place.accepts_cleartext()
    (place.path / ENFORCE).unlink()
    assert place.accepts_cleartext()
    (place.path / PASSWORD).unlink()
    assert not place.accepts_cleartext()


@pytest.mark.parametrize(
    ("timestamp", "day"),
    [(0, 0), (86399, 0), (86400, 86400), (TODAY, TODAY), (NOW, TODAY), (TODAY + 86399, TODAY)],
)
def test_a_day_begins_at_midnight_utc(timestamp: int, day: int) -> None:
    assert day_of(timestamp) == day


def test_a_login_leaves_its_day_and_nothing_finer(mailboxes: Mailboxes) -> None:
    place = mailbox(mailboxes)
    place.create(HASH, MYSELF, NOW - 10 * DAY)
    place.record_login(NOW)
    assert place.last_login() == TODAY
    file = place.path / PASSWORD
    assert file.stat().st_mtime_ns == TODAY * 10**9
    changed = file.stat().st_ctime_ns
    place.record_login(TODAY + 80_000)
    # A second login on the same day does not even touch the file.
    assert file.stat().st_ctime_ns == changed
    place.record_login(NOW + DAY)
    assert place.last_login() == TODAY + DAY


def test_a_login_makes_no_account(mailboxes: Mailboxes, tmp_path: Path) -> None:
    mailbox(mailboxes).record_login(NOW)
    (tmp_path / "half@example.org").mkdir()
    mailbox(mailboxes, "half@example.org").record_login(NOW)
    (tmp_path / "file@example.org").write_text("")
    file = mailbox(mailboxes, "file@example.org")
    file.record_login(NOW)
    assert (file.recover_and_read(), file.last_login(), file.is_blocked()) == (None, None, False)
    assert mailboxes.names() == []
    assert not (tmp_path / "someone@example.org").exists()
    assert list((tmp_path / "half@example.org").iterdir()) == []


def test_a_hash_of_an_existing_relay_is_read_with_its_newline(mailboxes: Mailboxes) -> None:
    place = mailbox(mailboxes)
    place.path.mkdir()
    (place.path / PASSWORD).write_text(HASH + "\n")
    assert place.recover_and_read() == HASH


def test_a_link_in_a_half_made_mailbox_is_not_followed_out_of_it(
    mailboxes: Mailboxes, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    place = mailbox(mailboxes)
    place.path.mkdir()
    (place.path / ENFORCE).symlink_to(outside)
    with pytest.raises(OSError, match="symbolic links"):
        place.create(HASH, MYSELF, NOW)
    assert not outside.exists()


def test_a_dangling_link_for_a_password_is_never_written_through(
    mailboxes: Mailboxes, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    place = mailbox(mailboxes)
    place.path.mkdir()
    (place.path / PASSWORD).symlink_to(outside)
    with pytest.raises(NotRegular):
        place.create(HASH, MYSELF, NOW)
    assert not outside.exists()
    assert mailboxes.names() == []
    assert [path.name for path in place.path.iterdir() if path.name.startswith(".")] == []


def test_a_fifo_holds_nobody(mailboxes: Mailboxes) -> None:
    place = mailbox(mailboxes)
    place.path.mkdir()
    os.mkfifo(place.path / ENFORCE)
    with pytest.raises(OSError, match="No such device"):
        place.create(HASH, MYSELF, NOW)
    (place.path / ENFORCE).unlink()
    os.mkfifo(place.path / PASSWORD)
    with pytest.raises(NotRegular):
        place.recover_and_read()
    with pytest.raises(NotRegular):
        place.create(HASH, MYSELF, NOW)


def test_a_disk_that_does_not_do_as_asked_is_an_oserror(tmp_path: Path) -> None:
    nowhere = Mailboxes(tmp_path / "missing", "example.org")
    with pytest.raises(FileNotFoundError):
        mailbox(nowhere).create(HASH, MYSELF, NOW)
    assert nowhere.names() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        mailbox(Mailboxes(tmp_path / "file", "example.org")).create(HASH, MYSELF, NOW)


def test_the_names_are_those_of_whole_accounts_of_the_domain(
    mailboxes: Mailboxes, tmp_path: Path
) -> None:
    for name in ("a@example.org", "b@example.org"):
        mailbox(mailboxes, name).create(HASH, MYSELF, NOW)
    Mailbox(tmp_path / "c@example.com").create(HASH, MYSELF, NOW)
    (tmp_path / "half@example.org").mkdir()
    (tmp_path / "file@example.org").write_text(HASH)
    (tmp_path / "loop@example.org").symlink_to(tmp_path / "loop@example.org")
    assert sorted(mailboxes.names()) == ["a@example.org", "b@example.org"]


def test_a_mailbox_is_of_this_domain_and_of_a_safe_name(mailboxes: Mailboxes) -> None:
    assert mailboxes.of(Address.parse("a@example.com")) is None
    for name in ("a+b@example.org", "a/../b@example.org", "jürgen@example.org"):
        with pytest.raises(InvalidAddress):
            mailboxes.of(Address.parse(name))


def test_an_owner_that_is_not_there_is_an_error_with_the_mend() -> None:
    with pytest.raises(LookupError, match=r"no user 'nosuchuser' .*useradd --system nosuchuser"):
        Owner.named("nosuchuser")
