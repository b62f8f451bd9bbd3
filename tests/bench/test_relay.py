"""The benchmark of the whole relay."""

from pathlib import Path

import pytest
import uvloop

from bench.problem import BenchProblem
from bench.relay import logins, memory, programs
from bench.relay.load import Delivered, Load, deliver, summed_up
from bench.relay.programs import Stat
from bench.relay.run import KEPT, SLOW, Result
from bench.relay.settings import VARIANTS, Compared, Edit, Variant, adaptation
from bench.relay.stand import relay
from sandbox.layout import Layout


def delivered(cpu_ms: float = 5.0, per_s: float = 300.0, p50_ms: float = 10.0) -> Delivered:
    return Delivered(
        messages=8,
        per_s=per_s,
        p50_ms=p50_ms,
        p95_ms=20.0,
        p99_ms=30.0,
        cpu_ms=cpu_ms,
        programs={"postfix/qmgr": cpu_ms - 0.001, "postfix/flush": 0.001},
    )


def test_a_stat_line_is_read_past_a_name_with_parentheses() -> None:
    fields = ["S", "7", *["0"] * 11, "150", "50", *["0"] * 30]
    assert programs.parse_stat(f"12 (a (b) c) {' '.join(fields)}\n") == Stat("a (b) c", 7, 2.0)


def test_a_tree_is_a_process_and_its_descendants() -> None:
    everything = {
        pid: Stat("x", parent, 0.0) for pid, parent in ((1, 0), (2, 1), (3, 2), (4, 3), (5, 1))
    }
    assert set(programs.tree(everything, 2)) == {2, 3, 4}
    assert programs.tree(everything, 9) == {}


def test_figures_are_per_message() -> None:
    figures = summed_up([0.01, 0.02, 0.03, 0.04], 2.0, {"postfix/qmgr": 0.004, "doveauth": 0.012})
    assert (figures.per_s, figures.p50_ms, figures.cpu_ms) == (2.0, 20.0, 4.0)
    assert figures.programs == {"postfix/qmgr": 1.0, "doveauth": 3.0}


def test_the_targets_are_of_what_was_measured() -> None:
    nothing = Result(messages={}, memory=[], logins={}, settings=[])
    assert {verdict.reached for verdict in nothing.verdicts()} == {None}
    good = Result(
        messages={KEPT: delivered(), SLOW: delivered()}, memory=[], logins={}, settings=[]
    )
    assert [verdict.reached for verdict in good.verdicts()] == [True, None, True, True, None, None]
    slow = delivered(cpu_ms=5.6, per_s=249, p50_ms=15.1)
    bad = Result(messages={KEPT: slow, SLOW: slow}, memory=[], logins={}, settings=[])
    assert [verdict.reached for verdict in bad.verdicts()][:4] == [False, None, False, False]


def test_small_programs_are_shown_together() -> None:
    result = Result(messages={KEPT: delivered()}, memory=[], logins={}, settings=[])
    (_, _, by_program) = result.tables()
    assert by_program.rows == [["postfix/qmgr", "5.00"], ["others", "0.001"]]


def test_a_setting_is_a_ratio_to_the_relay_as_it_is() -> None:
    compared = Compared(
        name="off", load=VARIANTS[0].load, plain=[4.0, 5.0, 6.0], varied=[5.0, 10.0, 9.0]
    )
    assert compared.cpu == (9 / 5, 5 / 4, 2.0)


def test_an_edit_that_finds_nothing_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("max_use = 1000\n")
    adaptation([Edit("main.cf", "max_use = [0-9]+", "max_use = 1")])(Layout(tmp_path))
    assert (tmp_path / "main.cf").read_text() == "max_use = 1\n"
    with pytest.raises(BenchProblem, match=r"main\.cf"):
        adaptation([Edit("main.cf", "no such setting", "")])(Layout(tmp_path))


@pytest.mark.e2e
def test_messages_logins_and_memory_of_a_sandbox() -> None:
    with relay() as sandbox:
        load = Load(size=1500, messages=16, kept=False)
        figures = uvloop.run(deliver(sandbox, load))
        through = uvloop.run(logins.measure(sandbox, 9))
        held = uvloop.run(memory.measure(sandbox, 1))
    assert figures.messages == 16
    assert figures.cpu_ms > 0
    assert {"dovecot/lmtp", "postfix/smtpd", "filtermail@outgoing"} <= figures.programs.keys()
    assert "gateway" not in figures.programs
    assert list(through) == ["IMAP", "submission", "IMAP, first"]
    assert held.daemons.keys() == {
        *("postfix", "dovecot", "doveauth", "metadata"),
        *("filtermail@outgoing", "filtermail@incoming"),
    }
    assert held.processes > 10
    assert held.total > 50


@pytest.mark.e2e
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_relay_without_a_setting_starts(variant: Variant) -> None:
    with relay(adaptation(variant.edits)) as sandbox:
        load = Load(size=1500, messages=8, kept=True)
        assert uvloop.run(deliver(sandbox, load)).messages == 8
