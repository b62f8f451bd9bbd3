"""A whole run of the benchmark `kill`."""

import random
import time
from collections.abc import Callable

from bench.figures import Verdict, at_most
from bench.filter.grid import SIZES
from bench.filter.postfix import obstacle, private_postfix, wait_for_empty_queue
from bench.filter.stand import Stand, free_port, stand
from bench.kill.senders import Sender, arrivals
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.report import Table, targets_table

NAME = "kill"
KILLS = 30
QUICK = 5
SENDERS = 8
LETTERS = ("1.5KB", "1.5KB", "100KB", "1MB")
LIFE_SECONDS = (0.1, 0.6)
"""How long a filter may live once it answers: a random time between these."""
JOIN_SECONDS = 60.0
NOTES = """\
Eight senders send messages of 1.5 KB, 100 KB and 1 MB through Postfix → filter → Postfix, each
until it is accepted; meanwhile the filter is killed (SIGKILL) at random moments and started again.
Deliveries are those in the log of Postfix. *Lost* was accepted and not delivered. A message may be
delivered *twice*: where the kill falls between Postfix's answer and the filter's own, the sender
has to try again (RFC 5321, 4.5.4.1). *Refused* was answered with 5yz."""


class Result(Measured, frozen=True, kw_only=True):
    """What became of the messages."""

    kills: int
    tries: int
    accepted: int
    delivered: int
    twice: int
    lost: int
    refused: list[str]

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        return [
            at_most("lost", 0, self, lambda result: result.lost),
            at_most("refused", 0, self, lambda result: len(result.refused)),
        ]

    def tables(self) -> list[Table]:
        """The targets, and the counts behind them."""
        counts = {
            "kills": self.kills,
            "tries": self.tries,
            "accepted": self.accepted,
            "delivered": self.delivered,
            "delivered twice": self.twice,
            "lost": self.lost,
            "refused": len(self.refused),
        }
        rows = [[name, f"{count:,}"] for name, count in counts.items()]
        return [targets_table(self.verdicts()), Table("Messages", ("", "count"), rows)]


def run(kills: int, report: Callable[[str], None]) -> Result:
    """Kill the filter so many times under load; raises BenchProblem."""
    if why := obstacle():
        raise BenchProblem(why)
    with stand() as place:
        reinject, port, proxy = free_port(), free_port(), free_port()
        root = place.directory / "postfix"
        letters = [place.letter(SIZES[size]).read_bytes() for size in LETTERS]
        senders = [Sender(number, port, letters) for number in range(SENDERS)]
        # The greeting of a service with a dead proxy is Postfix's own; it is up without a filter.
        with private_postfix(root, reinject, {port: proxy}):
            _kill_under_load(place, senders, reinject, proxy, kills, report)
            wait_for_empty_queue(root / "queue")
        return summed_up(kills, senders, (root / "log").read_text(errors="replace"))


def summed_up(kills: int, senders: list[Sender], log: str) -> Result:
    """Compare what the senders know with the log of Postfix; raises BenchProblem."""
    delivered = arrivals(log.splitlines())
    accepted = {message_id for sender in senders for message_id in sender.accepted}
    if not accepted:
        raise BenchProblem("no message was accepted, so that none could be lost")
    return Result(
        kills=kills,
        tries=sum(sender.tries for sender in senders),
        accepted=len(accepted),
        delivered=delivered.total(),
        twice=sum(count > 1 for count in delivered.values()),
        lost=len(accepted - delivered.keys()),
        refused=[answer for sender in senders for answer in sender.refused],
    )


def _kill_under_load(
    place: Stand,
    senders: list[Sender],
    reinject: int,
    proxy: int,
    kills: int,
    report: Callable[[str], None],
) -> None:
    chance = random.Random()  # noqa: S311 - moments, not secrets
    for sender in senders:
        sender.start()
    for number in range(kills):
        report(f"kill {number + 1} of {kills}")
        with place.filter(reinject, proxy) as tested:
            time.sleep(chance.uniform(*LIFE_SECONDS))
            tested.kill()
    with place.filter(reinject, proxy):
        for sender in senders:
            sender.stop()
        for sender in senders:
            sender.join(JOIN_SECONDS)
    if any(sender.is_alive() for sender in senders):
        raise BenchProblem("a message under way has no answer a minute after the last kill")
