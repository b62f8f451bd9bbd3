"""What all tests share."""

import asyncio
import gc
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the daemons run on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_finish() -> None:
    """Thousands of tests are objects that stay: no collection of garbage looks at them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A directory whose path is short: a unix socket's has at most 107 octets (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="postern-") as path:
        yield Path(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 1 MB; needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
