"""`postern expire` as an operator or a timer starts it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from postern.expiry.rules import DAY
from relay.mailbox.directory import MARK, PASSWORD
from tests.postern.commandline import Done, postern
from tests.postern.expiry.relays import DOMAIN, account, configure, message

QUOTA = "max_mailbox_size = 1000"


def expire(root: Path, *arguments: str) -> Done:
    """Without processes of its own."""
    return postern("expire", "--config", str(configure(root, QUOTA)), "--workers", "1", *arguments)


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    path = account(tmp_path / "mail", "someone12")
    today = time.time()
    for days in (30, 3, 2, 0.5):
        made = message(path, days, octets=300)
        os.utime(made, (today - days * DAY, today - days * DAY))
    os.utime(path / PASSWORD, (today, today))
    return path


def count(mailbox: Path) -> int:
    return len(list((mailbox / "cur").iterdir()))


def test_without_remove_it_only_tells(mailbox: Path) -> None:
    for arguments in ((), ("--remove", "--dry-run")):
        done = expire(mailbox.parent, *arguments)
        assert done.returncode == 0, done.stderr
        assert "Would be removed" in done.stdout
        assert "someone12" not in done.stdout + done.stderr
    assert count(mailbox) == 4


def test_remove_removes_and_tells_as_json(mailbox: Path) -> None:
    command = [sys.executable, "-m", "postern", "expire", "--remove", "--json"]
    command += ["--config", str(configure(mailbox.parent, QUOTA))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["removed"], told["messages"], told["messages_removed"]) == (True, 4, 2)
    assert count(mailbox) == 2


def test_for_a_quota_warning_only_that_mailbox_is_trimmed_to_its_quota(mailbox: Path) -> None:
    other = account(mailbox.parent, "another12", idle_days=1000)
    (mailbox / "maildirsize").touch()
    done = expire(mailbox.parent, "--remove", "--quota-of", f"someone12@{DOMAIN}", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trimmed"] == 2
    assert count(mailbox) == 2
    assert not (mailbox / "maildirsize").exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nobody123@example.org", "no such mailbox"),
        ("someone12@example.com", "domain is example.org"),
        ("../../etc", "no @"),
    ],
)
def test_an_address_that_is_none_here_is_told(mailbox: Path, address: str, says: str) -> None:
    done = expire(mailbox.parent, "--remove", "--quota-of", address)
    assert done.returncode == 1
    assert says in done.stderr


@pytest.mark.slow
def test_faults_of_the_configuration_and_of_the_clock(mailbox: Path) -> None:
    os.utime(mailbox / PASSWORD, (1_600_000_000, 1_600_000_000))  # 2020
    done = expire(mailbox.parent, "--remove")
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert mailbox.exists()
    done = expire(mailbox.parent, "--remove", "--config", "/nonexistent.ini")
    assert done.returncode == 78
    assert "cannot be read" in done.stderr
    expire(mailbox.parent, "--remove", "--force")
    assert not mailbox.exists()


def test_most_accounts_stay_unless_it_is_forced(mailbox: Path) -> None:
    for local in ("inactive1", "inactive2"):
        idle = account(mailbox.parent, local)
        os.utime(idle / PASSWORD, (1_600_000_000, 1_600_000_000))
    planned = expire(mailbox.parent)
    assert (planned.returncode, "2 of 3 accounts" in planned.stderr) == (1, True)
    assert "Would be removed" in planned.stdout
    refused = expire(mailbox.parent, "--remove", "--json")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert count(mailbox) == 4
    assert (mailbox.parent / f"inactive1@{DOMAIN}").exists()


def test_nothing_goes_where_the_disk_is_not_mounted(mailbox: Path) -> None:
    config = configure(mailbox.parent)
    (mailbox.parent / MARK).unlink()
    done = postern("expire", "--remove", "--force", "--config", str(config))
    assert (done.returncode, "mount the disk" in done.stderr) == (1, True)
    assert count(mailbox) == 4


def test_the_quota_warning_names_the_mailbox_where_no_other_user_can_read_it(
    mailbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTERN_QUOTA_OF", f"someone12@{DOMAIN}")
    done = expire(mailbox.parent, "--remove", "--json")
    assert json.loads(done.stdout)["trimmed"] == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_expires_as_the_mailboxes_user() -> None:
    """In several processes, also where that user cannot read the interpreter's files."""
    # pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory(prefix="postern-", dir="/var/tmp") as directory:
        Path(directory).chmod(0o755)
        root = Path(directory, "mail")
        config = configure(root)
        config.write_text(config.read_text().replace("= root", "= mail"))
        mailboxes = [account(root, f"someone{number}") for number in range(2)]
        for mailbox in mailboxes:
            message(mailbox, 10_000)
            os.utime(message(mailbox, 0))
            os.utime(mailbox / PASSWORD)
        for each in (*root.rglob("*"), root):
            shutil.chown(each, "mail", "mail")
        # Root could unlink there; the mailboxes' user may not.
        shutil.chown(mailboxes[0] / "cur", "root", "root")
        command = [sys.executable, "-m", "postern", "expire", "--remove", "--json"]
        command += ["--workers", "2", "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout != "") == (1, True), done.stderr
        told = json.loads(done.stdout)
        assert (told["skipped"], told["messages_removed"]) == (1, 1)
        assert [count(mailbox) for mailbox in mailboxes] == [2, 1]
