"""What the machine says it has left."""

import os
from pathlib import Path

import pytest

from doveauth.policy import Resources
from doveauth.resources import FRESH_SECONDS, Gauge, ResourcesUnreadable, read_resources


def test_the_reading_is_this_machines(tmp_path: Path) -> None:
    reading = read_resources(tmp_path)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 <= reading.load < 10_000
    assert 1 << 20 < reading.memory <= pages
    space = os.statvfs(tmp_path)
    assert 0 < reading.disk <= space.f_blocks * space.f_frsize


def test_a_reading_is_used_for_a_moment_and_then_taken_again() -> None:
    now, taken = [100.0], []

    def read() -> Resources:
        taken.append(now[0])
        return Resources(load=len(taken), memory=0, disk=0)

    gauge = Gauge(read, lambda: now[0])
    assert [gauge().load for _ in range(3)] == [1, 1, 1]
    now[0] += FRESH_SECONDS
    assert gauge().load == 2
    assert taken == [100.0, 100.0 + FRESH_SECONDS]


def test_what_cannot_be_read_is_named_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ResourcesUnreadable) as raised:
        read_resources(tmp_path, tmp_path / "meminfo")
    assert raised.value.strerror == (
        f"{tmp_path}/meminfo cannot be read: No such file or directory; "
        "where ProcSubset=pid hides it, remove that from the unit"
    )
    with pytest.raises(ResourcesUnreadable, match=r"nowhere cannot be read: .*see mailboxes_dir"):
        read_resources(tmp_path / "nowhere")
