"""Good messages through a filtermail that a stranger sends the worst ones on many connections."""

import smtplib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.figures import percentile
from bench.filter.load import Order
from bench.filter.messages import RECIPIENT, SENDER, message
from bench.filter.stand import Server, Stand, stand
from bench.gate.shapes import SHAPES
from sandbox.ports import LOOPBACK

CONNECTIONS = 30
OCTETS = 18_000_000 // CONNECTIONS
"""Of each message: 18 MB are on their way at any time."""
EVERY_SECONDS = 0.05
GOOD = 1536
SECONDS = 5.0
"""How long each kind of attack lasts."""
QUIET = "nothing else"
DEAREST = (
    "lines of 16 and 17",
    "chunks of 512",
    "X25519 keys",
    "RSA keys of 512 bits",
    "quoted, soft ends at 60",
    "long names",
)
"""Shapes of which a filtermail accepts every octet."""


class Delay(msgspec.Struct, frozen=True, kw_only=True):
    """How long a good message took, from the connection to the answer to its dot."""

    messages: int
    p50_ms: float
    p95_ms: float
    longest_ms: float
    attacks: int
    """Messages of the stranger that were judged meanwhile."""


def delays(
    report: Callable[[str], None], shapes: Sequence[str] = DEAREST, seconds: float = SECONDS
) -> dict[str, Delay]:
    """Good messages beside nothing, honest large ones, and each shape; raises BenchProblem."""
    attacks = {f"honest, {OCTETS:,}": message(OCTETS)}
    attacks.update((what, SHAPES[what](OCTETS)) for what in shapes)
    with stand() as place, place.sink() as sink, place.filter(sink.port, incoming=True) as target:
        report("good messages alone")
        measured = {QUIET: _summed_up(_send_good(target.port, seconds), 0)}
        for what, attack in attacks.items():
            report(f"good messages beside {what}")
            measured[what] = _beside(place, target, attack, seconds)
    return measured


def _beside(place: Stand, target: Server, attack: bytes, seconds: float) -> Delay:
    with tempfile.NamedTemporaryFile(dir=place.directory, suffix=".eml") as file:
        Path(file.name).write_bytes(attack)
        order = Order(
            ports=[target.port], message=file.name, at_a_time=CONNECTIONS, seconds=6 * SECONDS
        )
        with place.sending(order) as process:
            taken = _send_good(target.port, seconds)
            (sent,) = place.stop(process, order)
    return _summed_up(taken, len(sent.latencies))


def _send_good(port: int, seconds: float) -> list[float]:
    """Send a good message every so often; seconds that each took."""
    content, taken = message(GOOD), []
    began = due = time.perf_counter()
    while due < began + seconds:
        time.sleep(max(0.0, due - time.perf_counter()))
        start = time.perf_counter()
        with smtplib.SMTP(LOOPBACK, port) as client:
            client.sendmail(SENDER, [RECIPIENT], content)
            taken.append(time.perf_counter() - start)
        due = max(due + EVERY_SECONDS, time.perf_counter())
    return taken


def _summed_up(taken: Sequence[float], attacks: int) -> Delay:
    ordered = sorted(taken)
    return Delay(
        messages=len(ordered),
        p50_ms=percentile(ordered, 50) * 1e3,
        p95_ms=percentile(ordered, 95) * 1e3,
        longest_ms=ordered[-1] * 1e3,
        attacks=attacks,
    )
