"""The parts of the benchmark of push: small loads on a real service, and its tables."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.problem import BenchProblem
from bench.push import loads
from bench.push.attack import attacked
from bench.push.gateway import Gateway
from bench.push.loads import FAILING, Pushed
from bench.push.run import Result
from bench.push.stand import stand, token_of
from bench.push.telling import tell
from metadata.tokens.tokenset import MAX_TOKENS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def check(pushed: Pushed, count: int) -> None:
    assert pushed.pushes == count
    assert 0 < pushed.p50_s <= pushed.p95_s
    assert pushed.sets_per_s > 0
    assert pushed.pushes_per_s > 0
    assert pushed.cpu_ms > 0


def test_a_burst_is_told_of_and_pushed() -> None:
    check(loads.burst(40, latency=0.01), 40)


def test_failures_are_tried_again() -> None:
    measured = loads.failures(40)
    check(measured.others, 40 - 40 // FAILING)
    assert (measured.failed, measured.tries) == (40 // FAILING, 2)
    assert measured.retry_p95_s > 1


def test_an_attack_leaves_others_alone() -> None:
    measured = attacked(30)
    assert measured.quiet.pushes == measured.attacked.pushes == 30
    assert measured.garbage > MAX_TOKENS
    assert measured.attacked.p95_s < 1  # shut off, it would be two seconds


def test_a_backlog_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "OUTAGE_SECONDS", 0.5)
    measured = loads.backlog(200)
    assert measured.owed == 200
    assert measured.start_s > 0
    assert measured.drain_per_s > 0
    assert 0 < measured.new_p50_s <= measured.new_p95_s
    assert 5 < measured.down_mb <= measured.peak_mb


async def test_the_gateway_answers_as_it_is_told() -> None:
    gateway = Gateway(0.0, lambda token, before: token == "bad" and before == 0)
    await gateway.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for token, status in (("bad", b"500"), ("good", b"200"), ("bad", b"200")):
        request = f"POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(token)}\r\n\r\n{token}"
        for piece in (request[:20], request[20:-1], request[-1:]):
            writer.write(piece.encode())
            await asyncio.sleep(0.01)
        header = await reader.readuntil(b"\r\n\r\n")
        assert header.split()[1] == status
    assert {token: len(came) for token, came in gateway.arrivals.items()} == {"bad": 2, "good": 1}
    writer.close()
    await gateway.stop()


async def test_a_message_that_is_not_taken_ends_the_run() -> None:
    with stand() as place, place.metadata("http://127.0.0.1:1/") as meter:
        assert meter.resident() > 0
        (user,) = place.mailboxes("u", 1)
        assert len(await tell(place.socket, [user])) == 1
        stored = next(place.socket.parent.glob(f"mail/{user}/metadata.json"))
        stored.unlink()
        stored.mkdir()
        with pytest.raises(BenchProblem, match="answered"):
            await tell(place.socket, [user])


def test_tokens_are_of_one_size_and_tell_whose_they_are() -> None:
    assert len({token_of(f"u{number}@relay.example") for number in range(100)}) == 100
    assert {len(token_of(f"u{number}@relay.example")) for number in range(100)} == {300}


def test_what_was_not_measured_is_told_as_such() -> None:
    empty = Result(
        burst=None,
        instant=None,
        failures=None,
        attack=None,
        backlog=None,
        sandbox_s=None,
        not_run="",
    )
    assert {verdict.reached for verdict in empty.verdicts()} == {None}
    assert len(empty.tables()[0].rows) == len(empty.verdicts())


def test_the_command_prints_what_it_measured() -> None:
    command = [sys.executable, "-m", "bench", "push", "--quick", "--only", "instant", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["instant"]["pushes"] == 1000
    assert told["burst"] is None
    reached = {each["target"]["what"]: each["reached"] for each in told["targets"]}
    assert reached["burst, SETs a second"] is None
    assert reached["instant, CPU a push"] is not None


def test_an_unknown_scenario_is_named() -> None:
    command = [sys.executable, "-m", "bench", "push", "--only", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such scenario: nonsense" in done.stderr.replace("\n", " ")
