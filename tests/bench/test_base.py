"""The commit that a benchmark compares with."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.base import PACKAGES, base_checkout
from bench.problem import BenchProblem
from bench.process import ROOT, started


def test_a_base_is_unpacked_whole_and_kept(tmp_path: Path) -> None:
    base = base_checkout("HEAD", tmp_path)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert base.name == f"base {commit[:10]}"
    assert list(tmp_path.iterdir()) == [base.root]
    assert (base.root / "filtermail/daemon.py").is_file()
    (base.root / "mark").touch()
    assert base_checkout("HEAD", tmp_path) == base
    assert (base.root / "mark").exists()


def test_the_code_of_the_base_runs_and_none_of_this_checkout(tmp_path: Path) -> None:
    base = base_checkout("HEAD", tmp_path)
    script = f"import {', '.join(PACKAGES)}, sys\n"
    script += f"print(*(sys.modules[name].__file__ for name in {PACKAGES!r}), sep='\\n')"
    with started(["-c", script], tmp_path / "log", base.root) as process:
        output, _ = process.communicate()
    files = output.decode().split()
    assert len(files) == len(PACKAGES)
    assert all(Path(file).is_relative_to(base.root) for file in files)


def test_a_commit_that_git_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchProblem, match=r"nowhere.*--base"):
        base_checkout("nowhere", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_names_an_unknown_base() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "filter", "--base", "nowhere", "--only", "1.5KB"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
