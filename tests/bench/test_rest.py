"""The benchmark of the four daemons at rest."""

from pathlib import Path

import pytest

from bench.base import HERE, Checkout
from bench.problem import BenchProblem
from bench.rest import run as rest
from bench.rest.daemons import Memory, at_rest


@pytest.mark.slow
def test_the_four_daemons_start_and_have_memory() -> None:
    memory = at_rest(HERE)
    assert list(memory) == ["filtermail outgoing", "filtermail incoming", "doveauth", "metadata"]
    assert all(5 < daemon.pss <= daemon.rss for daemon in memory.values())


@pytest.mark.slow
def test_a_checkout_whose_daemons_do_not_start_is_named(tmp_path: Path) -> None:
    (tmp_path / "filtermail.py").write_text("raise SystemExit('broken')\n")
    with pytest.raises(BenchProblem, match=r"(?s)filtermail outgoing of base abc.*broken"):
        at_rest(Checkout(name="base abc", root=tmp_path))


def test_the_target_is_on_the_median_of_the_sums() -> None:
    def round_of(pss: float) -> dict[str, Memory]:
        return {name: Memory(pss=pss, rss=pss + 9) for name in ("one", "other")}

    result = rest.Result(
        base_name="base abc", here=[round_of(n) for n in (40, 41, 99)], base=[round_of(50)]
    )
    (verdict,) = result.verdicts()
    assert (verdict.measured, verdict.reached) == (82, True)
    _, table = result.tables()
    assert table.rows == [
        ["one", "41.0", "50.0", "50.0", "59.0"],
        ["other", "41.0", "50.0", "50.0", "59.0"],
        ["together", "82.0", "", "100", ""],
    ]
