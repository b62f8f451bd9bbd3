import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.places import LONGEST_SOCKET, SUN_PATH_MAX, choose_place, lock, obstacle
from sandbox.problem import SandboxProblem


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may pass through, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="postern-", dir="/var/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def test_an_open_directory_is_taken_as_it_is(open_directory: Path) -> None:
    place = choose_place(open_directory / "a" / "sandbox")
    assert (place.root, place.temporary) == (open_directory / "a" / "sandbox", False)
    assert place.root.is_dir()


def test_below_a_closed_directory_it_goes_elsewhere(open_directory: Path) -> None:
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    place = choose_place(closed / "checkout" / ".sandbox")
    assert place.temporary
    assert str(closed) in place.reason
    assert obstacle(place.root) == ""
    place.remove()
    assert not place.root.exists()


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_the_longest_socket_must_fit(open_directory: Path, spare: int, fits: bool) -> None:
    length = SUN_PATH_MAX - len(LONGEST_SOCKET) - spare - len(str(open_directory)) - 1
    assert (obstacle(open_directory / ("x" * length)) == "") is fits


@pytest.mark.parametrize("name", ["a b", "a#b", "a%b", "a$b", "a'b", "a\nb"])
def test_a_name_that_no_configuration_can_hold_is_an_obstacle(
    open_directory: Path, name: str
) -> None:
    place = choose_place(open_directory / name / "sandbox")
    assert place.temporary
    assert "cannot hold every character" in place.reason
    place.remove()


def test_a_directory_is_locked_for_one(tmp_path: Path) -> None:
    held = lock(tmp_path)
    with pytest.raises(SandboxProblem, match=rf"process {os.getpid()}\)"):
        lock(tmp_path)
    os.close(held)
    os.close(lock(tmp_path))
