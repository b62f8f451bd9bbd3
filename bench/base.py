"""The base of a comparison: an earlier commit, whose daemons run beside this checkout's.

Both run with the same interpreter and the same libraries; `python -m` finds the packages in its
working directory first, so that the directory alone decides whose code runs.
"""

import compileall
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from bench.problem import BenchProblem
from bench.process import ROOT

LAST_RELEASE = "76bb6d1dd9"
"""The commit that targets compare with; the only place that names it."""
PACKAGES = ("relay", "filtermail", "doveauth", "metadata")
_PLACE = ROOT / ".sandbox" / "bench"


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """Code to measure: a name for the tables, and the directory that holds the packages."""

    name: str
    root: Path


HERE = Checkout(name="this checkout", root=ROOT)


def base_checkout(revision: str, place: Path = _PLACE) -> Checkout:
    """Return the commit `revision`, unpacked below `place` and compiled; it is kept for next time.

    Compiles this checkout as well: a process that compiles its own modules has a larger heap.
    Raises BenchProblem if git does not have the commit.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    root = place / f"base-{commit}"
    if not root.exists():
        _unpack(commit, root)
    for checkout in (root, ROOT):
        for package in PACKAGES:
            compileall.compile_dir(checkout / package, quiet=2)
    return Checkout(name=f"base {commit[:10]}", root=root)


def _unpack(commit: str, root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    # Renamed once it is whole: an interrupted run leaves no half of a commit.
    with tempfile.TemporaryDirectory(dir=root.parent) as name:
        archive, unpacked = Path(name) / "commit.zip", Path(name) / "unpacked"
        _git("archive", f"--output={archive}", commit)
        shutil.unpack_archive(archive, unpacked)
        unpacked.rename(root)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the revision is an argument
            ["git", "-C", str(ROOT), *arguments],  # noqa: S607 - git of the PATH
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise BenchProblem("git is not installed; the base commit is taken from it") from None
    if done.returncode:
        raise BenchProblem(
            f"git {arguments[0]} does not know the base commit ({arguments[-1]}): "
            "fetch the whole history, or name another commit with --base"
        )
    return done.stdout
