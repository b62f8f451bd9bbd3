"""The command line as a whole: help, version, which relay is meant, and what is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from postern.__main__ import COMMANDS, with_sandbox
from postern.options import RECORD
from tests.postern.commandline import postern
from tests.postern.expiry.relays import account, configure

HEAVY = {"aiohttp", "cryptography", "dns", "jinja2", "pgpy", "prometheus_client", "rich", "segno"}
LOADED = """
import sys
from postern.__main__ import main
sys.argv = ["postern", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print(*sorted(set(sys.argv_wanted) & set(sys.modules)), file=sys.stderr)
""".replace("sys.argv_wanted", repr(HEAVY))


def heavy_modules(*arguments: str) -> set[str]:
    """Libraries that a command loads, of those that take long."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


HOST_ONLY = {"certificates"}
"""Commands that a sandbox has no use for."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    account(tmp_path / "mail", "someone12")
    return configure(tmp_path / "mail", f"registration_state_dir = {tmp_path}/state")


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--help"], set()),
        (["expire", "--json"], set()),
        (["users", "list"], set()),
        (["report", "--json"], set()),
        (["invite", "create"], set()),
        (["dns", "--json"], set()),
        (["expire"], {"rich"}),
        (["status", "--json"], {"prometheus_client", "cryptography"}),
    ],
)
def test_a_command_loads_what_it_needs_and_no_more(
    config: Path, arguments: list[str], loaded: set[str]
) -> None:
    named = [] if arguments == ["--help"] else ["--config", str(config)]
    assert heavy_modules(*arguments, *named) == loaded


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("users", "block")])
def test_help_fits_a_terminal_of_80_columns(command: tuple[str, ...], option: str) -> None:
    done = postern(*command, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: postern")
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(("name", "text"), COMMANDS.items())
def test_the_list_of_commands_says_what_each_says_of_itself(name: str, text: str) -> None:
    assert text in " ".join(postern("-h").stdout.split())
    assert text in " ".join(postern(name, "-h").stdout.split())


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "install"])
def test_every_command_names_its_relay_in_the_same_way(name: str) -> None:
    groups = {"users": "list", "invite": "list", "dkim": "show", "certificates": "status"}
    command = (name, groups[name]) if name in groups else (name,)
    said = postern(*command, "-h").stdout
    assert "--config FILE" in said
    assert ("--sandbox [DIR]" in said) == (name not in HOST_ONLY)
    assert "--json" in said


def test_version() -> None:
    assert postern("--version").stdout.startswith("postern 0.")


def test_what_is_no_command() -> None:
    done = postern("expyre")
    assert (done.returncode, "No such command" in done.stderr) == (2, True)


def test_a_sandbox_is_named_by_its_directory(config: Path, tmp_path: Path) -> None:
    directory = tmp_path / "sandbox"
    directory.mkdir()
    (directory / RECORD).write_text(json.dumps({"config": str(config)}))
    for words in (["--sandbox", str(directory)], [f"--sandbox={directory}"]):
        assert "someone12" in postern("users", "list", *words).stdout
    both = postern("users", "list", "--sandbox", str(directory), "--config", str(config))
    assert both.returncode == 2
    (directory / RECORD).unlink()
    none = postern("users", "list", "--sandbox", str(directory))
    assert (none.returncode, "scripts/run starts one" in none.stderr) == (1, True)


def test_without_a_configuration_the_ways_to_name_one_are_said() -> None:
    done = postern("users", "list")
    assert done.returncode == 78
    assert "--config" in done.stderr
    assert "--sandbox" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["--sandbox"], ["--sandbox="]),
        (["--sandbox", "--json"], ["--sandbox=", "--json"]),
        (["--sandbox", "/"], ["--sandbox=/"]),
        (["show", "--sandbox", "a@b"], ["show", "--sandbox=", "a@b"]),
        (["--sandbox=/x", "a"], ["--sandbox=/x", "a"]),
        (["--", "--sandbox"], ["--", "--sandbox"]),
    ],
)
def test_what_belongs_to_sandbox(arguments: list[str], meant: list[str]) -> None:
    assert with_sandbox(arguments) == meant
