"""The benchmark that kills the daemons."""

import os

import pytest

from bench.kill import run as killing
from bench.kill.load import Load
from sandbox.relay import Sandbox
from tests.support import DEADLINE


def test_what_is_lost_misses_its_target() -> None:
    result = killing.Result(
        kills={"doveauth": 2},
        tries=9,
        accounts=4,
        accounts_lost=1,
        messages=4,
        messages_lost=1,
        messages_twice=2,
        pushes_lost=1,
        refused=["550 no"],
    )
    assert [verdict.reached for verdict in result.verdicts()] == [False] * 4
    targets, counts = result.tables()
    assert [row[-1] for row in targets.rows] == ["missed"] * 4
    assert ["messages delivered twice", "2"] in counts.rows


@pytest.mark.e2e
def test_what_was_confirmed_and_is_gone_is_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        load = Load(sandbox)
        load.start()
        load.stop()
        load.join(DEADLINE)
        assert len(load.newcomers) == 2
        assert killing.summed_up(sandbox, [load], {}, DEADLINE).accounts_lost == 0
        box = sandbox.layout.mail / load.newcomers[0].login.address
        for file in (box / "new").iterdir():
            file.unlink()
        (box / "password").write_text("{PLAIN}another")
        load.newcomers[1].token += "-never-pushed"
        result = killing.summed_up(sandbox, [load], {}, 0.0)
    assert (result.accounts, result.accounts_lost) == (2, 1)
    assert (result.messages, result.messages_lost) == (2, 1)
    assert result.pushes_lost == 1


@pytest.mark.e2e
def test_daemons_that_are_killed_lose_nothing() -> None:
    assert os.geteuid() == 0, "Postfix must be started by root"
    result = killing.run(1, lambda _part: None)
    assert result.messages > 0
    assert all(verdict.reached for verdict in result.verdicts())
