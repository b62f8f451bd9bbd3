"""Reading without waiting: what is in memory, and nothing else."""

import os
from pathlib import Path

import pytest

from relay import athand


@pytest.fixture
def place(tmp_path: Path) -> Path:
    if not athand.usable(tmp_path):
        pytest.skip("the temporary directory is on a file system that athand does not know")
    return tmp_path / "file"


def forget(path: Path) -> None:
    """Let the kernel keep nothing of a file's content in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def test_what_was_just_written_or_read_is_at_hand(place: Path) -> None:
    place.write_bytes(b"content")
    assert athand.read(str(place), 4096) == b"content"
    assert athand.read(str(place), 3) == b"con"
    place.write_bytes(b"")
    assert athand.read(str(place), 4096) == b""


def test_what_would_have_to_be_read_from_the_disk_is_not(place: Path) -> None:
    place.write_bytes(b"content")
    forget(place)
    assert athand.read(str(place), 4096) is None
    assert place.read_bytes() == b"content"
    assert athand.read(str(place), 4096) == b"content"


def test_that_a_file_is_not_there_is_known_once_it_has_been_looked_for(place: Path) -> None:
    assert not place.exists()
    for name in (place, place / "below"):
        with pytest.raises(FileNotFoundError):
            athand.read(str(name), 4096)
    place.touch()
    assert athand.read(str(place), 4096) == b""


def test_what_is_no_file_that_can_be_read_is_not_at_hand(place: Path) -> None:
    # Opening a fifo without a writer would take for ever.
    os.mkfifo(place)
    assert athand.read(str(place), 4096) is None
    assert athand.read(str(place.parent), 4096) is None
    assert athand.read("x" * 10_000, 4096) is None


def test_reading_leaves_no_time_and_no_descriptor(place: Path) -> None:
    place.write_bytes(b"content")
    os.utime(place, (0, 0))
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (place, place.parent):
        athand.read(str(path), 4096)
    assert place.stat().st_atime == 0
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_only_file_systems_of_this_machine_are_read_so(tmp_path: Path) -> None:
    assert not athand.usable(Path("/proc"))
    assert not athand.usable(tmp_path / "nowhere")
