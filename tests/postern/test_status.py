"""`postern status`: what the parts of a relay answer, and what is said about silent ones."""

import asyncio
import contextlib
import json
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from postern.options import RECORD
from postern.status import parts, reading, wording
from postern.status.figures import Figure, NoFigures, Spread, quantile, read
from postern.status.reading import Silent, ask
from relay.config import parse_config
from relay.life.metrics import metrics_server
from relay.life.sockets import open_unix
from sandbox.certificate import ensure_certificate
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
        server = metrics_server(partial(generate_latest, registry))
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


@contextlib.contextmanager
def greeting(text: bytes) -> Iterator[int]:
    """A server that greets each client and hangs up; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.sendall(text)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()


POSTQUEUE = """#!/bin/sh
[ "$*" = "-c {root}/postfix -j" ] && cat {root}/queue
"""


@pytest.fixture
def sandbox(
    registry: CollectorRegistry, socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A sandbox as far as status asks it: daemons' figures, greetings and a queue."""
    (socket_dir / "postqueue").write_text(POSTQUEUE.format(root=socket_dir))
    (socket_dir / "postqueue").chmod(0o755)
    monkeypatch.setenv("PATH", str(socket_dir), prepend=os.pathsep)
    (socket_dir / "queue").touch()
    config = socket_dir / "chatmail.ini"
    config.write_text("[params]\nmail_domain = example.org\n")
    metrics = {name: str(socket_dir / name) for name in ("doveauth", "metadata")}
    certificate, key = ensure_certificate(socket_dir / "tls", "example.org")
    with contextlib.ExitStack() as stack:
        for path in metrics.values():
            stack.enter_context(serving(registry, Path(path)))
        smtp = stack.enter_context(greeting(b"220 hello\r\n"))
        imaps = stack.enter_context(greeting_by_tls(certificate, key))
        ports = {"smtp": smtp, "imaps": imaps}
        ports |= dict.fromkeys(("filtermail@outgoing", "filtermail@incoming"), smtp)
        record = {"config": str(config), "ports": ports, "metrics": metrics}
        record |= {each: str(socket_dir / each) for each in ("postfix", "logs")}
        (socket_dir / RECORD).write_text(json.dumps(record))
        yield socket_dir


@contextlib.contextmanager
def greeting_by_tls(certificate: Path, key: Path) -> Iterator[int]:
    """As `greeting`, by TLS and for IMAP."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    if client.recv(1, socket.MSG_PEEK) == b"":
                        return
                    with context.wrap_socket(client, server_side=True) as wrapped:
                        wrapped.sendall(b"* OK hello\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        socket.create_connection(listener.getsockname()).close()
        thread.join()


def status(sandbox: Path, *arguments: str) -> Done:
    return postern("status", "--sandbox", str(sandbox), *arguments)


def change_record(sandbox: Path, **changes: object) -> None:
    record = json.loads((sandbox / RECORD).read_text())
    (sandbox / RECORD).write_text(json.dumps(record | changes))


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
        ("x_seconds", Spread(1500, {50: 0.01}), "1,500, 50 % < 10 ms"),
        ("x_seconds", Spread(2, {95: math.inf}), "2, 95 % beyond all bounds"),
    ],
)
def test_wording(name: str, value: float | Spread, expected: str) -> None:
    assert wording.value(Figure(name, "", {}, value)) == expected


def test_a_unit_stands_beside_the_value_only() -> None:
    figure = Figure("x_seconds", "Age, in seconds; 0 where there is none.", {}, 1.0)
    assert wording.title(figure) == "Age"


def test_labels_are_words() -> None:
    figure = Figure("x", "", {"kind": "passdb", "reason": "username_too_short"}, 1.0)
    assert wording.labels(figure) == "passdb, username too short"


def test_all_is_well(sandbox: Path) -> None:
    shown, told = status(sandbox), status(sandbox, "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.endswith("\nAll is well.\n")
    assert shown.stdout.count("Pushes that wait") == 2
    assert "1,234" in shown.stdout
    assert "50 % < 100 ms" in shown.stdout
    assert "failed" not in shown.stdout, "a count of nothing is shown"
    assert "slow" not in shown.stdout, "a histogram of nothing is shown"
    assert max(map(len, shown.stdout.splitlines())) < 80
    answer = json.loads(told.stdout)
    assert (told.returncode, answer["well"]) == (0, True)
    assert list(answer["parts"]) == [
        "doveauth",
        "metadata",
        "filtermail@outgoing",
        "filtermail@incoming",
        "postfix",
        "dovecot",
    ]
    figures = answer["parts"]["metadata"]["figures"]
    assert figures[0] == {"name": "push_waiting", "labels": {}, "value": 7}
    fast = {"name": "push_seconds", "labels": {"way": "fast"}}
    assert figures[3] == {**fast, "count": 4, "p50": 0.1, "p95": None, "p99": None}


def test_one_is_silent(sandbox: Path) -> None:
    none = sandbox / "none"
    change_record(sandbox, metrics={"doveauth": str(sandbox / "doveauth"), "metadata": str(none)})
    shown, told = status(sandbox), status(sandbox, "--json")
    assert (shown.returncode, told.returncode) == (1, 1)
    assert "Pushes that wait" in shown.stdout
    assert "All is well" not in shown.stdout
    assert shown.stderr == "Not well: metadata.\n"
    answer = json.loads(told.stdout)["parts"]
    assert answer["doveauth"]["figures"]
    assert str(none) in answer["metadata"]["text"]
    assert f"see {sandbox}/logs/metadata.log" in answer["metadata"]["text"]


@pytest.mark.parametrize("part", ["filtermail@incoming", "smtp", "imaps"])
def test_a_server_that_hangs_is_not_well(
    sandbox: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was stopped (SIGSTOP): the kernel still takes its connections."""
    monkeypatch.setattr(parts, "GREETING_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = json.loads((sandbox / RECORD).read_text())["ports"]
        change_record(sandbox, ports=ports | {part: silent.getsockname()[1]})
        shown = status(sandbox)
    assert shown.returncode == 1
    assert "hangs" in shown.stdout
    name = {"smtp": "postfix", "imaps": "dovecot"}.get(part, part)
    assert shown.stderr == f"Not well: {name}.\n"


def queued(domain: str, age: int, reason: str = "") -> str:
    recipient = {"address": f"someone12@{domain}"} | ({"delay_reason": reason} if reason else {})
    entry = {"queue_name": "deferred", "arrival_time": int(time.time()) - age}
    return json.dumps(entry | {"sender": "a@b.example", "recipients": [recipient]}) + "\n"


def test_mail_for_this_relay_that_waits_is_not_well(sandbox: Path) -> None:
    (sandbox / "queue").write_text(queued("example.org", 1000, "451 <someone12@example.org> gone"))
    shown = status(sandbox)
    assert (shown.returncode, shown.stderr) == (1, "Not well: postfix.\n")
    said = " ".join(shown.stdout.split())
    assert "1 in the queue, the oldest for 16.7 min" in said
    assert "1 × 451 <…> gone" in said
    assert "someone12" not in shown.stdout


@pytest.mark.parametrize(("domain", "age"), [("example.org", 5), ("far.example", 90_000)])
def test_mail_that_waits_for_others_or_not_for_long_is_well(
    sandbox: Path, domain: str, age: int
) -> None:
    (sandbox / "queue").write_text(queued(domain, age, "x"))
    shown = status(sandbox)
    assert shown.returncode == 0
    assert "1 in the queue" in shown.stdout


@pytest.mark.parametrize(
    "text", ["no JSON\n", "{}\n", "[]\n", '{"arrival_time": 1, "recipients": [1]}']
)
def test_a_queue_that_cannot_be_read_is_not_well(sandbox: Path, text: str) -> None:
    (sandbox / "queue").write_text(text)
    assert status(sandbox).stderr == "Not well: postfix.\n"


def test_a_gateway_that_is_shut_is_not_well(registry: CollectorRegistry, sandbox: Path) -> None:
    gauge = Gauge("metadata_gateway_shut", "1 while it is shut.", registry=registry)
    assert status(sandbox).returncode == 0
    gauge.set(1)
    shown = status(sandbox)
    assert "push gateway accepts nothing" in " ".join(shown.stdout.split())
    assert shown.returncode == 1


def test_a_daemon_that_hangs(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SECONDS", 0.1)
    with open_unix(socket_dir / "hangs"), pytest.raises(Silent, match="hangs, or cannot start"):
        ask(socket_dir / "hangs")


def test_nobody_listens(socket_dir: Path) -> None:
    open_unix(socket_dir / "left").close()
    if not (socket_dir / "left").exists():
        (socket_dir / "left").touch()
    with pytest.raises(Silent, match="nothing listens"):
        ask(socket_dir / "left")


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
        with pytest.raises(Silent, match="is not a metrics socket"):
            ask(socket_dir / "other")
        thread.join()


def test_who_may_not(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path) -> str:
        raise PermissionError

    # Root, who runs some of the tests, may always.
    monkeypatch.setattr(reading, "_fetched", refused)
    with pytest.raises(Silent, match="use sudo"):
        ask(socket_dir / "closed")


def test_no_sandbox(tmp_path: Path) -> None:
    asked = status(tmp_path)
    assert asked.returncode == 1
    assert "no sandbox runs" in asked.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [("", "set operator_address"), ("operator_address = a@b.example\n", "is reached")],
)
def test_it_says_whether_the_operator_is_reached(line: str, words: str) -> None:
    config, _ = parse_config(f"[params]\nmail_domain = chat.example.org\n{line}", "here")
    part = parts.operator_part(config)
    assert words in part.text
    assert part.is_well
