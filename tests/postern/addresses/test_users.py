"""`postern users` as an operator types it."""

import getpass
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relay.mailbox import Mailbox
from tests.postern.expiry.relays import DOMAIN, account, message

ADDRESS = f"someone12@{DOMAIN}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "chatmail.ini").write_text(
        f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {tmp_path}/mail\n"
        f"mailboxes_user = {getpass.getuser()}\n"
    )
    mailbox = account(tmp_path / "mail", "someone12")
    message(mailbox, 1, octets=1000)
    message(mailbox, 2, octets=500, part=".Sent/cur")
    (mailbox / "metadata.json").write_text(
        json.dumps({"devicetoken": {"openpgp:one": int(time.time()), "openpgp:two": 0}})
    )
    account(tmp_path / "mail", "another12")
    return tmp_path / "mail"


def users(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = str(root.parent / "chatmail.ini")
    command = [sys.executable, "-m", "postern", "users", *arguments, "--config", config]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_list(root: Path) -> None:
    (root / f"halfmade1@{DOMAIN}").mkdir()
    users(root, "block", f"another12@{DOMAIN}")
    lines = [json.loads(line) for line in users(root, "list", "--json").stdout.splitlines()]
    assert {line["address"].partition("@")[0]: line["state"] for line in lines} == {
        "someone12": "active",
        "another12": "blocked",
        "halfmade1": "half-made",
    }
    assert users(root, "list", "--blocked").stdout.split()[-1] == f"another12@{DOMAIN}"


def test_show(root: Path) -> None:
    told = json.loads(users(root, "show", ADDRESS.upper(), "--json").stdout)
    assert (told["messages"], told["storage"], told["tokens"]) == (2, 1500, 1)
    assert told["last_login"] == "2026-11-22"
    assert "500" in users(root, "show", ADDRESS).stdout


def test_block_and_unblock(root: Path) -> None:
    done = users(root, "block", ADDRESS, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changed"] is True
    assert Mailbox(root / ADDRESS).is_blocked()
    assert users(root, "unblock", ADDRESS).returncode == 0
    assert Mailbox(root / ADDRESS).password_hash() == "{PLAIN}x"


def test_delete_asks_first(root: Path) -> None:
    assert users(root, "delete", ADDRESS).returncode == 1
    assert (root / ADDRESS).exists()
    assert users(root, "delete", ADDRESS, "--yes").returncode == 0
    assert [path.name for path in root.iterdir()] == [f"another12@{DOMAIN}"]


@pytest.mark.parametrize("command", ["show", "unblock", "delete"])
@pytest.mark.parametrize(
    "address",
    ["nobody123@example.org", "someone1@example.org", "someone12@example.com", "../x", "*", ""],
)
def test_only_an_exact_address_is_meant(root: Path, command: str, address: str) -> None:
    done = users(root, command, address)
    assert done.returncode == 1
    assert address in done.stderr
    assert (root / ADDRESS).exists()


def test_a_link_is_no_mailbox(root: Path, tmp_path: Path) -> None:
    outside = account(tmp_path / "outside", "victim123")
    (root / f"linked123@{DOMAIN}").symlink_to(outside)
    assert users(root, "delete", f"linked123@{DOMAIN}", "--yes").returncode == 1
    assert outside.exists()
