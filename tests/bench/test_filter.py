"""The parts of the filter's benchmark, and a run of its smallest scenario."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.base import base_checkout
from bench.filter import grid, versus
from bench.filter import run as filtering
from bench.filter.messages import SENDER, message
from bench.filter.stand import Stand, arrived, stand
from bench.problem import BenchProblem
from bench.process import Meter
from filtermail.gate.grammar import Direction, Envelope
from filtermail.gate.trial import Trial
from relay.address import Address

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CASE = grid.Case(size="1.5KB", at_a_time=3, reuse=False, seconds=0.3)


@pytest.fixture
def place() -> Iterator[Stand]:
    with stand() as made:
        yield made


@pytest.mark.parametrize("size", [1_500, 100_000, 418_500, 1_000_000, 2_000_000])
def test_a_message_is_of_its_size_and_passes_the_gate(size: int) -> None:
    letter = message(size)
    assert size * 0.95 < len(letter) <= size
    gate = Trial(Envelope(Address.parse(SENDER), ()), Direction.OUTGOING, size)
    assert gate.feed(letter + b".\r\n") == letter
    assert gate.ended


def test_a_message_that_is_too_small_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="only 1000 octets"):
        message(1_000)


@pytest.mark.parametrize("reuse", [False, True])
def test_all_that_is_accepted_arrives(place: Stand, reuse: bool) -> None:
    case = grid.Case(size="1.5KB", at_a_time=3, reuse=reuse, seconds=0.3)
    row = grid.measure(place, case)  # which compares what was accepted with what has arrived
    for figures in (row.filtered, row.alone):
        assert figures.messages >= case.at_a_time
        assert figures.messages_per_s > 0
        assert 0 < figures.p50_ms <= figures.p95_ms <= figures.p99_ms
        assert figures.cpu_ms > 0
    assert 5 < row.idle <= row.peak


def test_a_message_that_the_filter_refuses_ends_the_run(place: Stand) -> None:
    spoilt = message(1_500).replace(b"\r\nVersion: 1\r\n", b"\r\nhello\r\n")
    place.letter(grid.SIZES["1.5KB"]).write_bytes(spoilt)
    with pytest.raises(BenchProblem, match="523 Encryption Needed"):
        grid.measure(place, CASE)


def test_the_sink_counts_whole_messages_however_they_come(place: Stand) -> None:
    letter = place.letter(grid.SIZES["1MB"]).stat().st_size
    with place.sink() as sink:
        assert arrived(sink) == (0, 0)
        sent = place.load(grid.SIZES["1MB"], sink, at_a_time=2, seconds=0.1, reuse=True)
        assert arrived(sink) == (sent.messages, sent.messages * letter)


def test_a_load_in_turns_counts_each_target_alone(place: Stand) -> None:
    size = grid.SIZES["1.5KB"]
    with place.sink() as one, place.sink() as other:
        options = {"at_a_time": 2, "seconds": 0.4, "turns": 4}
        figures = place.load_in_turns(size, [one, other], **options)
        for sink, sent in zip((one, other), figures, strict=True):
            assert arrived(sink)[0] == sent.messages >= 8
            assert sent.cpu_ms > 0


def test_each_round_has_both_checkouts_and_the_sink(place: Stand, tmp_path: Path) -> None:
    base = base_checkout("HEAD", tmp_path)
    measured = versus.measure(place, base, "1.5KB", seconds=0.2, rounds=2)
    assert len(measured.here) == len(measured.base) == len(measured.alone) == 2
    for passage in (*measured.here, *measured.base):
        assert 5 < passage.idle <= passage.peak
        assert passage.figures.messages >= grid.COMPARED
    # Wide, because a machine that is busy must not fail it; a wrong process would be far off.
    assert 0.2 < measured.cpu.of_medians < 5
    run = filtering.Result(base=base.name, versus=[measured], rows=[], beside=None, chains=[])
    targets, ratios, sides = run.tables()
    assert len(targets.rows) == len(run.verdicts())
    assert [row[0] for row in ratios.rows] == ["1.5KB"]
    assert [row[1] for row in sides.rows] == ["this checkout", base.name, "sink alone"]


def test_the_pass_through_proxy_passes_all(place: Stand) -> None:
    with place.sink() as sink, place.forwarder(sink.port) as forwarder:
        sent = place.load(grid.SIZES["1MB"], forwarder, at_a_time=4, seconds=0.2)
        assert arrived(sink)[0] == sent.messages >= 4


def test_the_meter_sees_what_a_process_takes() -> None:
    script = "b = bytearray(50_000_000); x = sum(range(3_000_000)); del b; print(x); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        meter = Meter(process.pid)
        assert meter.cpu() > 0.001
        assert meter.peak() > meter.resident() + 40
        meter.reset_peak()
        assert meter.peak() < meter.resident() + 10
        process.communicate(b"\n")


def test_the_command_prints_figures_and_targets_as_json() -> None:
    options = ["--quick", "--only", "1.5KB", "--base", "HEAD", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "filter", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    (versus,) = told["versus"]
    assert len(versus["here"]) == len(versus["base"]) == len(versus["alone"]) == 3
    assert all(passage["figures"]["messages"] > 0 for passage in versus["here"] + versus["base"])
    reached = {target["target"]["what"]: target["reached"] for target in told["targets"]}
    assert reached["CPU of 1.5KB, of the base's"] in (True, False)
    assert reached["CPU of 30MB, of the base's"] is None
    assert told["base"].startswith("base ")
    assert told["circumstances"]["commit"]


def test_an_unknown_scenario_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "filter", "--only", "2KB"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "2KB" in done.stderr
