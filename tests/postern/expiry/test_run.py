"""Expiry over real mailboxes."""

import os
from pathlib import Path

import pytest

from postern.expiry import maildir, messages
from postern.expiry import run as running
from postern.expiry.mailboxes import expire_mailbox, leftovers, settle
from postern.expiry.messages import OpenMailbox
from postern.expiry.rules import DAY
from postern.expiry.run import run
from postern.expiry.tally import Tally
from relay.mailbox import drafts
from relay.mailbox.directory import ENFORCE, METADATA, PASSWORD, Mailbox, Mailboxes
from relay.owner import Owner
from tests.postern.expiry.relays import DOMAIN, NOW, account, everything, message, rules


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "GRACE_SECONDS", 0.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "mail"
    path.mkdir()
    return path


def expire(root: Path, *, act: bool = True, workers: int = 1, quota: int = 1 << 20) -> Tally:
    return run(root, DOMAIN, rules(quota), act=act, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_messages_go_by_age_and_size_and_the_rest_stays(root: Path, workers: int) -> None:
    for number in range(130):
        mailbox = account(root, f"someone{number:03}")
        message(mailbox, 21)
        message(mailbox, 21, part="new")
        message(mailbox, 21, part=".Sent/cur")
        message(mailbox, 8, octets=300_000, flags="S")
        message(mailbox, 8, octets=300_000)
        message(mailbox, 19)
    tally = expire(root, workers=workers, quota=0)
    assert (tally.mailboxes, tally.messages) == (130, 6 * 130)
    assert (tally.messages_removed, tally.large_removed) == (4 * 130, 130)
    for mailbox in root.iterdir():
        assert len(list((mailbox / "cur").iterdir())) == 2
        assert list((mailbox / "new").iterdir()) == []
        assert list((mailbox / ".Sent/cur").iterdir()) == []
        assert {PASSWORD, ENFORCE, METADATA} <= {path.name for path in mailbox.iterdir()}


def test_a_dry_run_counts_the_same_and_changes_nothing(root: Path) -> None:
    mailbox = account(root, "someone12")
    for days in (30, 8, 3, 2, 0.5):
        message(mailbox, days, octets=300_000, flags="S")
    account(root, "inactive1", idle_days=92)
    (mailbox / "maildirsize").write_text("1000S\n5 5\n")
    before = everything(root)
    planned = expire(root, act=False, quota=500_000)
    assert everything(root) == before
    done = expire(root, quota=500_000)
    assert planned == done
    assert (done.messages_removed, done.trimmed, done.mailboxes_removed) == (4, 2, 1)


def test_the_quota_file_goes_when_messages_went_and_stays_otherwise(root: Path) -> None:
    touched, untouched = account(root, "touched12"), account(root, "untouched")
    message(touched, 30)
    message(untouched, 3)
    for mailbox in (touched, untouched):
        (mailbox / "maildirsize").write_text("1000S\n10 1\n")
    expire(root)
    assert not (touched / "maildirsize").exists()
    assert (untouched / "maildirsize").exists()


def test_an_inactive_mailbox_goes_as_a_whole(root: Path) -> None:
    gone, stays = account(root, "inactive1", idle_days=92), account(root, "someone12", idle_days=89)
    message(gone, 1)
    tally = expire(root)
    assert tally.mailboxes_removed == 1
    assert {path.name for path in root.iterdir()} == {stays.name}


def test_a_blocked_address_stays_blocked_and_its_mail_goes(root: Path) -> None:
    blocked = account(root, "blocked12", password="", idle_days=1000)
    message(blocked, 30)
    assert expire(root).messages_removed == 1
    assert Mailbox(blocked).is_blocked()


def test_a_half_made_mailbox_goes_after_a_day(root: Path) -> None:
    for local, age in (("halfmade1", 2), ("halfmade2", 0.5)):
        half = root / f"{local}@{DOMAIN}"
        half.mkdir()
        (half / ENFORCE).touch()
        os.utime(half, (NOW - age * DAY, NOW - age * DAY))
    tally = expire(root)
    assert tally.half_made_removed == 1
    assert [path.name for path in root.iterdir()] == [f"halfmade2@{DOMAIN}"]


def test_what_a_crash_left_half_written_goes_when_it_is_old(root: Path) -> None:
    mailbox = account(root, "someone12")
    old = [
        ".password-1-2",
        "metadata.json.abcdefgh",
        drafts.BLOCK_DRAFT,
        drafts.METADATA_DRAFT,
        "tmp/1.M1P1.host",
    ]
    new = [".password-3-4", "tmp/2.M1P1.host"]
    for name in old + new:
        (mailbox / name).touch()
        age = 2 * DAY if name in old else DAY / 2
        os.utime(mailbox / name, (NOW - age, NOW - age))
    assert expire(root).leftovers_removed == 5
    assert [name for name in old + new if (mailbox / name).exists()] == new


def test_a_login_while_the_mailbox_is_aside_brings_it_back(root: Path) -> None:
    path = account(root, "inactive1", idle_days=92)
    kept = message(path, 3)
    expire_mailbox(path, rules(), act=True)
    assert not path.exists()
    mailbox = Mailbox(path)
    assert mailbox.recover_and_read() == "{PLAIN}x"
    mailbox.record_login(NOW)
    assert settle(root, rules()) == 0
    assert kept.exists()
    assert mailbox.last_login() == NOW - NOW % DAY


def test_a_login_that_was_let_in_just_before_is_noted_and_brings_it_back(root: Path) -> None:
    path = account(root, "inactive1", idle_days=92)
    expire_mailbox(path, rules(), act=True)
    Mailbox(path).record_login(NOW)
    settle(root, rules())
    assert path.exists()
    assert list(leftovers(root)) == []


def test_a_login_noted_after_the_look_and_before_the_renaming_counts(root: Path) -> None:
    path = account(root, "inactive1", idle_days=92)
    expire_mailbox(path, rules(), act=True)
    os.utime(next(leftovers(root)) / PASSWORD, (NOW, NOW))
    assert settle(root, rules()) == 0
    assert path.exists()


def test_what_an_interrupted_run_left_is_ended_by_the_next(root: Path) -> None:
    aside = account(root, "inactive1", idle_days=92)
    expire_mailbox(aside, rules(), act=True)
    doomed = account(root, "inactive2", idle_days=92)
    doomed.rename(root / ".removing.0123456789abcdef")
    expire(root)
    assert list(root.iterdir()) == []


def test_an_account_made_anew_meanwhile_stays(root: Path) -> None:
    path = account(root, "inactive1", idle_days=92)
    expire_mailbox(path, rules(), act=True)
    account(root, "inactive1")
    expire(root)
    assert [path.name for path in root.iterdir()] == [f"inactive1@{DOMAIN}"]


def test_links_are_never_followed(root: Path, tmp_path: Path) -> None:
    outside = account(tmp_path / "outside", "victim123")
    treasure = message(outside, 500)
    mailbox = account(root, "someone12")
    (mailbox / ".Link").symlink_to(outside)
    (mailbox / "new").rmdir()
    (mailbox / "new").symlink_to(outside / "cur")
    (mailbox / "cur" / "1.link").symlink_to(treasure)
    (root / f"linked123@{DOMAIN}").symlink_to(outside)
    gone = account(root, "inactive1", idle_days=92)
    (gone / ".Link").symlink_to(outside)
    os.utime(treasure, (0, 0))
    tally = expire(root)
    assert treasure.exists()
    assert tally.messages_removed == 0
    assert tally.mailboxes_removed == 1
    assert (root / f"linked123@{DOMAIN}").is_symlink()


def test_other_files_in_the_directory_of_mailboxes_are_left_alone(root: Path) -> None:
    (root / "notes.txt").write_text("mine")
    (root / "other@example.com").mkdir()
    (root / ".hidden").mkdir()
    before = everything(root)
    expire(root)
    assert everything(root) == before


def test_a_mailbox_in_trouble_is_counted_and_the_rest_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    message(account(root, "someone12"), 30)
    account(root, "trouble12")
    real = OpenMailbox.expire

    def failing(self: OpenMailbox) -> Tally:
        tally = real(self)
        if tally.messages == 0:
            raise OSError(5, "Input/output error", "trouble12")
        return tally

    monkeypatch.setattr(OpenMailbox, "expire", failing)
    tally = expire(root)
    assert (tally.skipped, tally.messages_removed) == (1, 1)
    assert "Input/output error" in caplog.text
    assert "trouble12" not in caplog.text


def test_a_clock_of_long_ago_deletes_nothing(root: Path) -> None:
    message(account(root, "someone12", idle_days=80), 15)
    before = everything(root)
    run(root, DOMAIN, rules(now=0), act=True, workers=1)
    assert everything(root) == before


def test_an_empty_relay_and_one_without_accounts_are_no_fault(root: Path) -> None:
    assert expire(root).mailboxes == 0
    assert Mailboxes(root, DOMAIN).names() == []


def test_a_kill_between_a_message_and_the_quota_file_leaves_no_wrong_sum(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox = account(root, "someone12")
    removed = message(mailbox, 30)
    message(mailbox, 3)
    (mailbox / "maildirsize").write_text("1000S\n20 2\n")

    class Killed(BaseException):
        pass

    def killed(_name: str, _directory: int) -> bool:
        raise Killed

    unlink = maildir.unlink

    def first_then_killed(name: str, directory: int) -> bool:
        done = unlink(name, directory)
        if name == removed.name:
            monkeypatch.setattr(messages, "unlink", killed)
        return done

    monkeypatch.setattr(messages, "unlink", first_then_killed)
    with pytest.raises(Killed):
        run(root, DOMAIN, rules(), act=True, workers=1)
    assert not removed.exists()
    assert not (mailbox / "maildirsize").exists()


def test_a_login_by_a_clock_that_was_not_set_makes_no_account_idle(root: Path) -> None:
    """A machine without a clock of its own boots in 1970."""
    path = account(root, "someone12", idle_days=1)
    Mailbox(path).record_login(100)
    run(root, DOMAIN, rules(), act=True, workers=1)
    assert Mailbox(path).last_login() == NOW - NOW % DAY - DAY


def test_an_account_made_by_a_clock_that_was_not_set_is_not_idle(root: Path) -> None:
    path = root / f"someone12@{DOMAIN}"
    Mailbox(path).create("{PLAIN}x", Owner(os.geteuid(), os.getegid()), 100)
    run(root, DOMAIN, rules(), act=True, workers=1)
    assert path.exists()
    Mailbox(path).record_login(NOW)
    assert Mailbox(path).last_login() == NOW - NOW % DAY
