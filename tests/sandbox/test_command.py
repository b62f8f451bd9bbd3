import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from postern.host.rendering import render
from postern.options import DEFAULT_SANDBOX
from sandbox import letters
from sandbox.show import show_login

REPO = Path(__file__).parents[2]


def _sandbox(*arguments: str, user: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "sandbox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, user=user, check=False, cwd=REPO)


def test_help_names_the_options() -> None:
    done = _sandbox("run", "--help")
    assert done.returncode == 0
    for option in ("--check", "--json", "--domain", "--directory"):
        assert option in done.stdout


def test_a_domain_that_is_none_is_said_in_a_line() -> None:
    done = _sandbox("run", "--domain", "foo bar")
    assert done.returncode == 2
    assert "a host name or an address literal" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_hints_name_the_sandbox_that_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "an other"
    show_login("[127.0.0.1]", {"imaps": 1, "smtps": 2}, other)
    assert f"scripts/run login --directory '{other}'\n" in capsys.readouterr().out
    show_login("[127.0.0.1]", {"imaps": 1, "smtps": 2}, DEFAULT_SANDBOX)
    said = capsys.readouterr().out
    assert "scripts/run login\n" in said
    assert "a phone, cannot reach that" in said
    assert said.endswith("\033[0m\n"), "the code is not the last on the screen"


def test_json_is_for_the_check() -> None:
    done = _sandbox("run", "--json")
    assert done.returncode == 2
    assert "--check" in done.stderr


def test_a_login_without_a_sandbox_says_how_to_start_one(tmp_path: Path) -> None:
    done = _sandbox("login", "--directory", str(tmp_path))
    assert done.returncode == 1
    assert "scripts/run" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["scripts/run", "scripts/lib/setup.sh"])
def test_scripts_parse(script: str) -> None:
    subprocess.run(["bash", "-n", str(REPO / script)], check=True)


def test_run_tells_its_use() -> None:
    done = subprocess.run(
        [REPO / "scripts" / "run", "--help"], capture_output=True, text=True, check=True
    )
    assert "--check" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("kind", ["encrypted", "cleartext"])
def test_a_letter_has_wire_line_ends_and_its_sender(kind: str) -> None:
    letter = getattr(letters, kind)("someone@relay.example", "an-id")
    assert letter.startswith(b"From: <someone@relay.example>\r\n")
    assert b"Message-ID: <an-id@localhost>\r\n" in letter
    assert letter.count(b"\n") == letter.count(b"\r\n")


def test_a_template_with_a_value_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="message_id"):
        render("letters/cleartext.eml", {"sender": "someone@relay.example"})
