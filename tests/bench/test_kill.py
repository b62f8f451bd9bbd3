"""The benchmark that kills filtermail."""

import os

import pytest

from bench.kill import run as killing
from bench.kill.senders import Sender, arrivals
from bench.problem import BenchProblem
from tests.support import DEADLINE, poll

LOG = """\
Nov 25 14:06:57 h postfix/cleanup[11]: A1: message-id=<1-0@sender.example>
Nov 25 14:06:57 h postfix/qmgr[12]: A1: from=<a@b>, size=1, nrcpt=1 (queue active)
Nov 25 14:06:57 h postfix/cleanup[13]: B2: message-id=<2-0@sender.example>
Nov 25 14:06:57 h postfix/discard[14]: A1: to=<m@r>, relay=none, dsn=2.0.0, status=sent (r)
Nov 25 14:06:57 h postfix/qmgr[12]: A1: removed
Nov 25 14:06:57 h postfix/cleanup[11]: A1: message-id=<1-1@sender.example>
Nov 25 14:06:57 h postfix/discard[14]: B2: to=<m@r>, relay=none, dsn=4.0.0, status=deferred (r)
Nov 25 14:06:57 h postfix/discard[14]: A1: to=<m@r>, relay=none, dsn=2.0.0, status=sent (r)
Nov 25 14:06:58 h postfix/cleanup[11]: C3: message-id=<1-1@sender.example>
Nov 25 14:06:58 h postfix/discard[14]: C3: to=<m@r>, relay=none, dsn=2.0.0, status=sent (r)
"""


def test_arrivals_are_counted_by_message_id_also_when_a_queue_id_comes_again() -> None:
    counts = arrivals(LOG.splitlines())
    assert counts == {"<1-0@sender.example>": 1, "<1-1@sender.example>": 2}


def test_a_message_that_was_accepted_and_never_arrived_is_lost() -> None:
    result = killing.summed_up(3, [_sender("<1-0@sender.example>", "<2-0@sender.example>")], LOG)
    assert (result.accepted, result.delivered, result.lost, result.twice) == (2, 3, 1, 1)
    lost, refused = result.verdicts()
    assert lost.reached is False
    assert refused.reached is True


def test_a_run_in_which_nothing_was_accepted_shows_nothing() -> None:
    with pytest.raises(BenchProblem, match="no message was accepted"):
        killing.summed_up(3, [_sender()], LOG)


def test_a_sender_tries_again_until_it_is_stopped() -> None:
    sender = Sender(1, port=1, letters=[b"Message-ID: <x>\r\n"])  # nobody listens there
    sender.start()
    poll(lambda: sender.tries >= 2, "a second try")
    sender.stop()
    sender.join(DEADLINE)
    assert not sender.is_alive()
    assert not sender.accepted
    assert not sender.refused


@pytest.mark.e2e
def test_a_filter_that_is_killed_loses_nothing() -> None:
    assert os.geteuid() == 0, "Postfix must be started by root"
    result = killing.run(2, lambda _part: None)
    assert result.accepted > 0
    assert result.lost == 0
    assert not result.refused
    targets, counts = result.tables()
    assert [row[-1] for row in targets.rows] == ["reached", "reached"]
    assert ["lost", "0"] in counts.rows


def _sender(*accepted: str) -> Sender:
    sender = Sender(1, port=1, letters=[])
    sender.accepted.extend(accepted)
    return sender
