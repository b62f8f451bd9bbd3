"""`postern status`: what daemons tell on their metrics sockets, and what is said of silent ones."""

import asyncio
import contextlib
import json
import math
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from postern.status import reading, wording
from postern.status.figures import Figure, NoFigures, Spread, quantile, read
from postern.status.reading import Silent, ask
from relay.life.metrics import MetricsServer
from relay.life.sockets import open_unix
from tests.postern.commandline import Done, postern


@pytest.fixture
def registry() -> CollectorRegistry:
    """The figures of a daemon."""
    made = CollectorRegistry()
    latency = Histogram(
        "push_seconds", "From message to push.", ["way"], buckets=(0.1, 1), registry=made
    )
    for seconds in (0.05, 0.05, 0.5, 9):
        latency.labels("fast").observe(seconds)
    latency.labels("slow")
    outcomes = Counter("push_requests", "Requests, by outcome.", ["outcome"], registry=made)
    outcomes.labels("taken").inc(1234)
    outcomes.labels("failed")
    Gauge("push_waiting", "Pushes that wait.", registry=made).set(7)
    return made


@contextlib.contextmanager
def serving(registry: CollectorRegistry, path: Path) -> Iterator[None]:
    """A daemon's metrics socket, served as a daemon serves it."""
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        server = MetricsServer(registry)
        await server.start(open_unix(path))
        ready.set()
        await ended.wait()
        await server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def status(*arguments: str) -> Done:
    with mock.patch.dict(os.environ, COLUMNS="120"):
        return postern("status", *arguments)


def test_read(registry: CollectorRegistry) -> None:
    found = read(generate_latest(registry).decode())
    assert [(each.name, dict(each.labels), each.value) for each in found] == [
        ("push_waiting", {}, 7),
        ("push_requests", {"outcome": "taken"}, 1234),
        ("push_requests", {"outcome": "failed"}, 0),
        ("push_seconds", {"way": "fast"}, Spread(4, {50: 0.1, 95: math.inf, 99: math.inf})),
        ("push_seconds", {"way": "slow"}, Spread(0, {})),
    ]
    assert found[0].help == "Pushes that wait."


@pytest.mark.parametrize("text", ["<html>", "a b c d", 'x{le="1'])
def test_what_is_no_figures(text: str) -> None:
    with pytest.raises(NoFigures):
        read(text)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.65, 3.0), (0.8, 4.0), (0.9, math.inf)],
)
def test_quantile(share: float, expected: float) -> None:
    # 10 below 1, none from 1 to 2, 6 from 2 to 4, 4 above.
    buckets = [(1.0, 10.0), (2.0, 10.0), (4.0, 16.0), (math.inf, 20.0)]
    assert quantile(buckets, share) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("x", 1234567.0, "1,234,567"),
        ("x", 0.5, "0.5"),
        ("x_seconds", 0.0, "0 s"),
        ("x_seconds", 0.00025, "0.25 ms"),
        ("x_seconds", 0.0123, "12.3 ms"),
        ("x_seconds", 5400.0, "1.5 h"),
        ("x_bytes", 1536.0, "1.5 KiB"),
        ("x_bytes", 12.0, "12 B"),
        ("x", math.nan, "unknown"),
        ("x_seconds", Spread(0, {}), "0"),
        ("x_seconds", Spread(1500, {50: 0.01}), "1,500, 50 % 10 ms"),
        ("x_seconds", Spread(2, {99: math.inf}), "2, 99 % above all bounds"),
    ],
)
def test_wording(name: str, value: float | Spread, expected: str) -> None:
    assert wording.value(Figure(name, "", {}, value)) == expected


def test_labels_are_words() -> None:
    figure = Figure("x", "", {"kind": "passdb", "reason": "username_too_short"}, 1.0)
    assert wording.labels(figure) == "passdb, username too short"


def test_both_daemons(registry: CollectorRegistry, socket_dir: Path) -> None:
    one, two = socket_dir / "one", socket_dir / "two"
    with serving(registry, one), serving(registry, two):
        shown = status("--doveauth", str(one), "--metadata", str(two))
        told = status("--doveauth", str(one), "--metadata", str(two), "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.count("Pushes that wait") == 2
    assert "1,234" in shown.stdout
    assert "50 % 100 ms" in shown.stdout
    figures = json.loads(told.stdout)["metadata"]["figures"]
    assert figures[0] == {"name": "push_waiting", "labels": {}, "value": 7}
    fast = {"name": "push_seconds", "labels": {"way": "fast"}}
    assert figures[3] == {**fast, "count": 4, "p50": 0.1, "p95": None, "p99": None}


def test_one_is_silent(registry: CollectorRegistry, socket_dir: Path) -> None:
    one, none = socket_dir / "one", socket_dir / "none"
    with serving(registry, one):
        shown = status("--doveauth", str(one), "--metadata", str(none))
        told = status("--doveauth", str(one), "--metadata", str(none), "--json")
    assert (shown.returncode, told.returncode) == (1, 1)
    assert "Pushes that wait" in shown.stdout
    assert shown.stderr.startswith(f"metadata does not answer: there is no {none}: start it")
    answers = json.loads(told.stdout)
    assert "figures" in answers["doveauth"]
    assert str(none) in answers["metadata"]["error"]


def test_a_daemon_that_hangs(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SECONDS", 0.1)
    with open_unix(socket_dir / "hangs"), pytest.raises(Silent, match="hangs, or cannot start"):
        ask("metadata", socket_dir / "hangs")


def test_nobody_listens(socket_dir: Path) -> None:
    open_unix(socket_dir / "left").close()
    if not (socket_dir / "left").exists():
        (socket_dir / "left").touch()
    with pytest.raises(Silent, match="systemctl status metadata"):
        ask("metadata", socket_dir / "left")


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
)
def test_another_answers(socket_dir: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_dir / "other"))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(10_000)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Silent, match="no metrics socket"):
            ask("metadata", socket_dir / "other")
        thread.join()


def test_who_may_not(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path) -> str:
        raise PermissionError

    # Root, who runs some of the tests, may always.
    monkeypatch.setattr(reading, "_fetched", refused)
    with pytest.raises(Silent, match="use sudo"):
        ask("metadata", socket_dir / "closed")


def test_no_sandbox(tmp_path: Path) -> None:
    asked = status("--sandbox", str(tmp_path))
    assert asked.returncode == 1
    assert "no sandbox runs" in asked.stderr
