"""Files in directories that an attacker may write to: nothing is followed, nothing blocks."""

import os
import socket
import stat
from pathlib import Path

import pytest

from relay.mailbox import drafts
from relay.mailbox.drafts import NotRegular, TooLarge, is_draft
from relay.owner import Owner

MYSELF = Owner(os.geteuid(), os.getegid())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".password-123-456", True),
        (".password-block", True),
        ("metadata.json.new", True),
        ("metadata.json.aB3_xyz9", True),
        (drafts.BLOCK_DRAFT, True),
        (drafts.METADATA_DRAFT, True),
        ("password", False),
        ("password.blocked", False),
        (".password-", False),
        (".password-1", False),
        (".password-1-2-3", False),
        (".password-\u0661-2", False),
        ("metadata.json", False),
        ("metadata.json.corrupt-1", False),
        ("metadata.json.newer", False),
        ("metadata.json.new\n", False),
        ("", False),
    ],
)
def test_a_draft_is_known_by_its_name(name: str, expected: bool) -> None:
    assert is_draft(name) is expected


def test_a_threads_password_draft_is_a_draft() -> None:
    assert is_draft(drafts.password_draft())


def test_a_new_file_is_private_and_never_an_existing_one(tmp_path: Path) -> None:
    descriptor = drafts.open_new(tmp_path / "file")
    os.close(descriptor)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        drafts.open_new(tmp_path / "file")


def test_a_planted_link_is_neither_followed_nor_emptied(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for target in (victim, tmp_path / "nothing yet"):
        link = tmp_path / "draft"
        link.symlink_to(target)
        with pytest.raises(FileExistsError):
            drafts.open_new(link)
        os.close(drafts.open_draft(link))
        assert not link.is_symlink()
        link.unlink()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nothing yet").exists()


def test_a_directory_behind_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        drafts.opened_directory(tmp_path / "link").__enter__()


@pytest.mark.parametrize("octets", [0, 1, 99, 100])
def test_a_small_file_is_read_whole(tmp_path: Path, octets: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * octets)
    assert drafts.read_small(tmp_path / "file", 100) == b"x" * octets
    with drafts.opened_directory(tmp_path) as place:
        assert drafts.read_small("file", 100, place=place) == b"x" * octets


def test_a_file_of_several_pieces_is_read_whole(tmp_path: Path) -> None:
    content = os.urandom(200_000)
    (tmp_path / "file").write_bytes(content)
    assert drafts.read_small(tmp_path / "file", 200_000) == content


@pytest.mark.parametrize("octets", [101, 300_000])
def test_a_large_file_is_refused(tmp_path: Path, octets: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * octets)
    with pytest.raises(TooLarge):
        drafts.read_small(tmp_path / "file", 100)


def test_a_file_of_no_size_and_no_end_is_refused(tmp_path: Path) -> None:
    # As a planted file in /proc would be: its size is said to be 0.
    with pytest.raises((TooLarge, NotRegular)):
        drafts.read_small(Path("/proc/self/maps"), 100)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("link", "directory", "fifo", "socket"):
            with pytest.raises(NotRegular):
                drafts.read_small(tmp_path / name, 100)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        drafts.read_small(tmp_path / "file", 100)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        drafts.read_small(tmp_path / "file" / "below", 100)


def test_reading_leaves_no_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    os.utime(tmp_path / "file", (0, 0))
    drafts.read_small(tmp_path / "file", 100)
    assert (tmp_path / "file").stat().st_atime == 0


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("earlier")
    (tmp_path / "draft").write_text("left behind")
    with drafts.opened_directory(tmp_path) as place:
        drafts.replace("file", "draft", b"later", MYSELF, place=place)
    assert (tmp_path / "file").read_bytes() == b"later"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_the_disk_fails_the_earlier_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    (tmp_path / "file").write_text("earlier")
    monkeypatch.setattr(os, "fsync", failing)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with (
        drafts.opened_directory(tmp_path) as place,
        pytest.raises(OSError, match="Input/output error"),
    ):
        drafts.replace("file", "draft", b"later", MYSELF, place=place)
    assert (tmp_path / "file").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
