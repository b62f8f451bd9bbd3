"""A file of the operator's, read again when it changed and not before."""

import os
from pathlib import Path

import pytest

from metadata.entries.operatorfile import OperatorFile


class Counted:
    """Counts what it parses; `bad` is nonsense to it."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, content: bytes) -> str:
        self.count += 1
        if content == b"bad":
            raise ValueError(content)
        return content.decode()


def test_read_again_only_when_changed(tmp_path: Path) -> None:
    path, parse = tmp_path / "file", Counted()
    file = OperatorFile(path, 10, parse)
    for count, text in enumerate(("one", "two", "three"), 1):
        path.write_text(text)
        assert [file.read() for _ in range(5)] == [text] * 5
        assert parse.count == count
    # Another file in its place, with the same age and size.
    times = path.stat()
    (tmp_path / "new").write_text("eerht")
    os.utime(tmp_path / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "new").rename(path)
    assert file.read() == "eerht"


@pytest.mark.parametrize("content", ["bad", "x" * 11, "x" * 1_000_000])
def test_nonsense_is_read_once_and_mended(tmp_path: Path, content: str) -> None:
    path, parse = tmp_path / "file", Counted()
    file = OperatorFile(path, 10, parse)
    path.write_text(content)
    for _ in range(3):
        with pytest.raises(ValueError, match="nonsense"):
            file.read()
    assert parse.count == (content == "bad")
    path.write_text("good")
    assert file.read() == "good"


def test_gone_and_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = OperatorFile(path, 10, Counted())
    path.write_text("one")
    assert file.read() == "one"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.read()
    path.mkdir()
    with pytest.raises(ValueError, match="no file"):
        file.read()
    path.rmdir()
    path.write_text("two")
    assert file.read() == "two"
