"""What the checks of the host mean for an installation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from postern.commands import install as command
from postern.host.preflight.facts import Facts, Outgoing
from postern.host.preflight.judge import CHECKS
from relay.config import parse_config
from tests.postern.host.preflight.hosts import GOOD
from tests.postern.install.hosts import CONFIG_TEXT, host

BLOCKED = replace(GOOD, outgoing=(Outgoing("mx.example.net", "no answer within 5 s"),))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How often the host was looked at, with which options."""
    asked: list[Any] = []

    async def look(domain: str, options: Any) -> Facts:
        asked.append((domain, options))
        return BLOCKED

    monkeypatch.setattr(command, "look", look)
    return asked


def preflight(root: Path, *skip: str, addresses: tuple[str, ...] = (), go_on: bool = False) -> None:
    config, _ = parse_config(CONFIG_TEXT, "here")
    command._preflight(host(root), config, list(skip), list(addresses), go_on=go_on)


def test_an_error_stops_and_everything_is_said(
    tmp_path: Path, looks: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        preflight(tmp_path)
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert all(f"\n{name}: " in f"\n{said}" for name in CHECKS)
    assert "\nport-25: mx.example.net: no answer within 5 s ERROR\n    Other mail servers" in said
    assert said.endswith("Nothing was changed.\n")


@pytest.mark.parametrize("options", [{"skip": ("port-25",)}, {"skip": (), "go_on": True}])
def test_a_skipped_error_and_a_dry_run_go_on(
    tmp_path: Path, looks: list[Any], options: dict[str, Any]
) -> None:
    preflight(tmp_path, *options.pop("skip"), **options)
    assert len(looks) == 1


def test_where_all_is_skipped_nobody_is_asked(tmp_path: Path, looks: list[Any]) -> None:
    preflight(tmp_path, "all")
    assert looks == []


def test_what_is_no_check_is_said_before_anything_is_asked(
    tmp_path: Path, looks: list[Any]
) -> None:
    with pytest.raises(typer.BadParameter, match="there is no check port25; there are release"):
        preflight(tmp_path, "port25")
    assert looks == []


def test_the_operators_addresses_are_taken(tmp_path: Path, looks: list[Any]) -> None:
    preflight(tmp_path, "port-25", addresses=("192.0.2.1",))
    ((domain, options),) = looks
    assert domain == "chat.example.org"
    assert [str(each) for each in options.addresses] == ["192.0.2.1"]
    assert options.root == tmp_path
