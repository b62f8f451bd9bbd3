"""`postern invite` as an operator types it."""

import getpass
import json
import time
from pathlib import Path

import pytest
import typer

from doveauth.invitations import Invitations
from postern.commands.invite import expiry
from postern.options import RECORD
from relay.config import read_config
from relay.owner import Owner
from tests.postern.commandline import Done, postern


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "chatmail.ini"
    path.write_text(
        f"[params]\nmail_domain = example.org\nregistration_state_dir = {tmp_path}/state\n"
        f"mailboxes_user = {getpass.getuser()}\nregistration = invite\n"
    )
    return path


def invite(config: Path, *arguments: str) -> Done:
    return postern("invite", *arguments, "--config", str(config))


def test_create_list_revoke(config: Path) -> None:
    done = invite(config, "create", "--uses", "5", "--expires", "7d", "--label", "club", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["link"] == f"DCACCOUNT:https://example.org/new?invitation={made['token']}"
    assert len(made["token"]) >= 22
    (listed,) = json.loads(invite(config, "list", "--json").stdout)
    assert (listed["uses_left"], listed["label"]) == (5, "club")
    assert made["token"] not in invite(config, "list").stdout
    store = Invitations.of(read_config(config), Owner.named(getpass.getuser()))
    assert store.redeem(made["token"], "someone12@example.org", "p", int(time.time()))
    assert "4 of 5" in invite(config, "list").stdout
    revoked = invite(config, "revoke", str(made["id"]), "--json")
    assert json.loads(revoked.stdout) == {"id": made["id"], "revoked": True}
    again = invite(config, "revoke", str(made["id"]))
    assert (again.returncode, again.stderr.strip()) == (1, f"There is no invitation {made['id']}.")


def test_a_link_is_printed_for_a_person(config: Path) -> None:
    done = invite(config, "create")
    assert done.stdout.startswith("DCACCOUNT:https://example.org/new?invitation=")
    assert done.stderr == ""


def test_that_nobody_asks_for_it_is_said(config: Path) -> None:
    config.write_text(config.read_text().replace("invite", "open"))
    assert "registration is 'open'" in invite(config, "create").stderr


@pytest.mark.parametrize(
    ("text", "end"),
    [(None, None), ("12h", 43_200), ("7d", 604_800), ("4w", 2_419_200), ("1970-01-02", 86_400)],
)
def test_an_expiry(text: str | None, end: int | None) -> None:
    assert expiry(text, 0) == end


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "2027-13-01", "tomorrow", "7 d", "99999w"])
def test_no_expiry(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2027-01-31"):
        expiry(text, 0)


@pytest.mark.parametrize("text", ["0h", "1970-01-01", "1970-01-02"])
def test_one_that_nobody_could_use_is_not_made(config: Path, text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is in the past"):
        expiry(text, 86_400)
    done = invite(config, "create", "--expires", text)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--expires" in done.stderr
    assert json.loads(invite(config, "list", "--json").stdout) == []


def test_a_label_is_shown_as_it_was_given(config: Path) -> None:
    invite(config, "create", "--label", "[red]club[/] :cat:")
    assert "[red]club[/] :cat:" in invite(config, "list").stdout


def test_the_list_tells_which_are_over(config: Path) -> None:
    store = Invitations.of(read_config(config), Owner.named(getpass.getuser()))
    store.create(1, 86_400, "old")
    assert "1970-01-02 00:00, expired" in invite(config, "list").stdout


def test_trouble_is_said_in_a_line(config: Path) -> None:
    (config.parent / "state").write_text("no directory")
    done = invite(config, "list")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_in_a_sandbox_the_way_to_use_it_is_said(config: Path) -> None:
    record = {"config": str(config), "sockets": "/sandbox/run"}
    (config.parent / RECORD).write_text(json.dumps(record))
    done = postern("invite", "create", "--sandbox", str(config.parent))
    token = done.stdout.strip().partition("invitation=")[2]
    assert "no web server" in done.stderr
    assert f"--unix-socket /sandbox/run/new.socket 'http://localhost/new?invitation={token}'" in (
        done.stderr
    )
