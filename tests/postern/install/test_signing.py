"""The first signing key comes with an installation, and goes with one that fails."""

from pathlib import Path

import pytest

from postern.host.dkim.directory import DIRECTORY
from postern.host.install import apply as installing
from postern.host.install.changes import Changes
from postern.host.install.differences import found
from postern.host.install.plan import Plan
from postern.host.install.signing import ensure_signing_key
from tests.postern.install.hosts import CONFIG_TEXT, Played, host, picture, plan

NOW = 1795629600
GROUP = "opendkim:x:109:"


def install(machine: Played, plan: Plan, *, fail: bool = False) -> list[bool]:
    """An installation with the signing key; whether one was made."""
    made = []

    def once(changes: Changes) -> None:
        made.append(ensure_signing_key(machine, changes, plan.config, NOW))
        if fail:
            raise OSError("chaos")

    with installing.undone_if_failed(machine) as changes:
        installing.apply(machine, plan, found(machine, plan), changes, lambda _: None, once)
    return made


def test_a_key_is_made_once_and_postfix_may_use_the_signer(tmp_path: Path) -> None:
    machine = host(tmp_path)
    assert install(machine, plan()) == [True]
    keys = machine.at(str(DIRECTORY))
    assert {each.name for each in keys.iterdir()} == {
        "20261125.private",
        "20261125.public",
        "KeyTable",
        "SigningTable",
    }
    assert f"{GROUP}postfix\n" in machine.at("/etc/group").read_text()
    assert "opendkim.service" in machine.state.active & machine.state.enabled
    private = (keys / "20261125.private").read_text()
    commands = len(machine.state.commands)
    assert install(machine, plan("two")) == [False]
    assert (keys / "20261125.private").read_text() == private
    assert not any(each[0] == "usermod" for each in machine.state.commands[commands:])


def test_the_signer_is_started_before_postfix(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    started = [each[-1] for each in machine.state.commands if "start" in each]
    assert started.index("opendkim.service") < started.index("postfix.service")


def test_a_failed_installation_leaves_no_key(tmp_path: Path) -> None:
    machine = host(tmp_path)
    before = picture(machine)
    with pytest.raises(installing.Failed, match="chaos"):
        install(machine, plan(), fail=True)
    assert picture(machine) == before


def test_keys_that_cannot_be_used_stop_it(tmp_path: Path) -> None:
    machine = host(tmp_path)
    table = machine.at(str(DIRECTORY)) / "KeyTable"
    table.parent.mkdir(parents=True)
    table.write_text("current example.org:x:/x\n")
    before = picture(machine)
    with pytest.raises(installing.Failed, match="restore it"):
        install(machine, plan())
    assert picture(machine) == before


def test_a_relay_without_a_name_has_no_signer(tmp_path: Path) -> None:
    machine = host(tmp_path)
    literal = plan(config_text=CONFIG_TEXT.replace("chat.example.org", "[192.0.2.1]"))
    machine.at("/etc/postern/chatmail.ini").write_text(
        CONFIG_TEXT.replace("chat.example.org", "[192.0.2.1]")
    )
    assert install(machine, literal) == [False]
    assert not machine.at(str(DIRECTORY)).exists()
    assert "opendkim" not in machine.state.packages
    assert not machine.at("/etc/opendkim.conf").exists()
    assert "milters" not in machine.at("/etc/postfix/main.cf").read_text()
