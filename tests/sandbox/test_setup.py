"""`scripts/lib/setup.sh`, as somebody without root's rights."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts" / "lib" / "setup.sh"
NOBODY = 65534


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A directory that everybody can read, with the functions in their place."""
    with tempfile.TemporaryDirectory(prefix="postern-", dir="/var/tmp") as path:
        root = Path(path)
        root.chmod(0o755)
        (root / "scripts" / "lib").mkdir(parents=True)
        shutil.copy(SETUP, root / "scripts" / "lib")
        (root / "pyproject.toml").write_text("[project]\n")
        yield root


def _run(checkout: Path, line: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". {checkout}/scripts/lib/setup.sh; {line}"],
        capture_output=True,
        text=True,
        user=NOBODY if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        check=False,
    )


def test_packages_that_are_there_are_passed_over(checkout: Path) -> None:
    done = _run(checkout, "ensure_debian_packages bash coreutils; echo ready")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")


def test_missing_packages_are_named_with_the_command(checkout: Path) -> None:
    done = _run(checkout, "ensure_debian_packages bash no-such-a no-such-b; echo ready")
    assert done.returncode == 1
    assert "sudo apt-get install --no-install-recommends no-such-a no-such-b" in done.stderr
    assert "ready" not in done.stdout


def test_an_environment_that_is_up_to_date_is_left_alone(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    stamp = _run(checkout, "venv_stamp").stdout
    (checkout / ".venv" / ".installed-test").write_text(stamp)
    for extras in ("test", ""):
        assert _run(checkout, f"ensure_venv {extras}; echo ready").stdout == "ready\n"


@pytest.mark.parametrize("changed", ["pyproject.toml", ".venv/bin/python"])
def test_a_stale_environment_is_noticed(checkout: Path, changed: str) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    (checkout / ".venv" / ".installed-test").write_text(_run(checkout, "venv_stamp").stdout)
    assert _run(checkout, "venv_has test").returncode == 0
    if changed == "pyproject.toml":
        (checkout / changed).write_text("[project]\nname = 'other'\n")
    else:
        python.unlink()
    assert _run(checkout, "venv_has test").returncode == 1
