"""`postern users` as an operator types it."""

import getpass
import json
import os
import time
from pathlib import Path

import pytest

from relay.mailbox import removal
from relay.mailbox.directory import PASSWORD, Mailbox
from tests.postern.commandline import Done, postern
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


def users(root: Path, *arguments: str, typed: str = "") -> Done:
    config = str(root.parent / "chatmail.ini")
    return postern("users", *arguments, "--config", config, typed=typed)


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


def test_the_list_is_sorted_and_has_a_heading(root: Path) -> None:
    for local in ("zebra1234", "aardvark1", "middle123"):
        account(root, local)
    heading, *lines = users(root, "list").stdout.splitlines()
    assert heading.split() == ["last", "login", "state", "address"]
    addresses = [line.split()[-1] for line in lines]
    assert len(addresses) == 5
    assert addresses == sorted(addresses)


def test_an_address_that_was_blocked_before_anybody_had_it_has_no_last_login(root: Path) -> None:
    users(root, "block", f"nobody123@{DOMAIN}")
    told = json.loads(users(root, "show", f"nobody123@{DOMAIN}", "--json").stdout)
    assert (told["state"], told["last_login"]) == ("blocked", None)
    users(root, "block", ADDRESS)
    assert json.loads(users(root, "show", ADDRESS, "--json").stdout)["last_login"] == "2026-11-22"


@pytest.mark.parametrize("plant", ["link", "fifo", "large"])
def test_what_was_planted_for_the_tokens_is_not_read(root: Path, plant: str) -> None:
    path = root / ADDRESS / "metadata.json"
    if plant == "large":
        path.write_bytes(path.read_bytes() + bytes(1 << 21))
    else:
        path.unlink()
        if plant == "fifo":
            os.mkfifo(path)  # reading it would wait for ever
        else:
            secret = root.parent / "secret"
            secret.write_text('{"devicetoken": {"openpgp:one": 9999999999}}')
            path.symlink_to(secret)
    assert json.loads(users(root, "show", ADDRESS, "--json").stdout)["tokens"] == 0


@pytest.mark.parametrize("name", [".password-block", "password.blocked"])
def test_block_writes_through_no_link(root: Path, name: str) -> None:
    victim = root.parent / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    (root / ADDRESS / name).symlink_to(victim)
    assert users(root, "block", ADDRESS).returncode == 0
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o644)
    assert Mailbox(root / ADDRESS).is_blocked()
    assert not (root / ADDRESS / "password").is_symlink()


def test_block_goes_into_no_other_directory(root: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (root / f"nobody123@{DOMAIN}").symlink_to(elsewhere)
    assert users(root, "block", f"nobody123@{DOMAIN}").returncode == 1
    assert list(elsewhere.iterdir()) == []


def test_one_mailbox_in_trouble_hides_no_other(root: Path) -> None:
    trouble = account(root, "trouble12")
    (trouble / PASSWORD).unlink()
    (trouble / PASSWORD).symlink_to(PASSWORD)
    done = users(root, "list", "--json")
    assert (done.returncode, done.stderr) == (1, "1 mailboxes could not be read\n")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["address"].partition("@")[0]: line["state"] for line in lines} == {
        "someone12": "active",
        "another12": "active",
        "trouble12": "unreadable",
    }
    assert users(root, "show", trouble.name).stderr == (
        f"{trouble / PASSWORD}: Too many levels of symbolic links\n"
    )


def test_the_hash_is_neither_told_nor_read(root: Path) -> None:
    (root / ADDRESS / PASSWORD).write_bytes(b"\xff\xfe")
    assert json.loads(users(root, "show", ADDRESS, "--json").stdout)["state"] == "active"
    assert len(users(root, "list").stdout.splitlines()) == 3
    for words in (("list",), ("show", f"another12@{DOMAIN}")):
        assert "PLAIN" not in users(root, *words).stdout


def test_who_looks_on_brings_no_mailbox_back_that_expires(root: Path) -> None:
    removal.set_aside(root / ADDRESS)
    (root / ADDRESS).mkdir()
    assert users(root, "list").returncode == 0
    assert json.loads(users(root, "show", ADDRESS, "--json").stdout)["state"] == "half-made"
    assert removal.aside_of(root / ADDRESS).exists()


def test_show(root: Path) -> None:
    told = json.loads(users(root, "show", ADDRESS.upper(), "--json").stdout)
    assert (told["messages"], told["storage"], told["tokens"]) == (2, 1500, 1)
    assert told["last_login"] == "2026-11-22"
    assert "1,500 octets" in users(root, "show", ADDRESS).stdout


def test_block_and_unblock(root: Path) -> None:
    done = users(root, "block", ADDRESS, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changed"] is True
    assert Mailbox(root / ADDRESS).is_blocked()
    unblocked = json.loads(users(root, "unblock", ADDRESS, "--json").stdout)
    assert unblocked == {"address": ADDRESS, "blocked": False, "changed": True}
    assert Mailbox(root / ADDRESS).recover_and_read() == "{PLAIN}x"


def test_one_that_never_had_a_password_is_freed_by_deletion(root: Path) -> None:
    users(root, "block", f"nobody123@{DOMAIN}")
    done = users(root, "unblock", f"nobody123@{DOMAIN}")
    assert (done.returncode, "postern users delete" in done.stderr) == (1, True)
    assert users(root, "delete", f"nobody123@{DOMAIN}", "--yes").returncode == 0
    assert not (root / f"nobody123@{DOMAIN}").exists()


@pytest.mark.parametrize("command", ["block", "delete"])
def test_what_expiry_has_put_aside_is_meant_too(root: Path, command: str) -> None:
    removal.set_aside(root / ADDRESS)
    options = ("--yes",) if command == "delete" else ()
    assert users(root, command, ADDRESS, *options).returncode == 0
    assert Mailbox(root / ADDRESS).recover_and_read() is None
    if command == "block":
        users(root, "unblock", ADDRESS)
        assert Mailbox(root / ADDRESS).recover_and_read() == "{PLAIN}x"


DOVEADM = """#!/bin/sh
echo "$@" "$(ls {root})" >> {root}/../asked
exit {code}
"""


@pytest.mark.parametrize(("code", "ended"), [(0, True), (68, True), (75, False)])
@pytest.mark.parametrize("command", ["block", "delete"])
def test_open_sessions_are_ended_once_nobody_can_log_in(
    root: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int, ended: bool
) -> None:
    (root.parent / "doveadm").write_text(DOVEADM.format(root=root, code=code))
    (root.parent / "doveadm").chmod(0o755)
    monkeypatch.setenv("PATH", str(root.parent), prepend=os.pathsep)
    options = ("--yes",) if command == "delete" else ()
    done = users(root, command, ADDRESS, *options, "--json")
    assert (done.returncode, json.loads(done.stdout)["sessions_ended"]) == (0, ended)
    assert (f"doveadm kick {ADDRESS}" in done.stderr) is not ended
    assert ("doveadm ended with status 75" in done.stderr) is not ended
    asked = (root.parent / "asked").read_text()
    assert asked.startswith(f"kick {ADDRESS} ")
    assert (ADDRESS in asked.partition(f"kick {ADDRESS} ")[2]) == (command == "block")


def test_delete_asks_first(root: Path) -> None:
    for typed in ("", "n\n"):
        assert users(root, "delete", ADDRESS, typed=typed).returncode == 1
        assert (root / ADDRESS).exists()
    done = users(root, "delete", ADDRESS, "--json", typed="y\n")
    assert json.loads(done.stdout)["deleted"] is True
    assert f"Delete {ADDRESS} and all its mail for good?" in done.stderr
    assert not (root / ADDRESS).exists()
    account(root, "someone12")
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
