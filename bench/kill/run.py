"""A whole run of the benchmark `kill`."""

import imaplib
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figures import Verdict, at_most
from bench.kill.held import hold_sockets, listeners
from bench.kill.load import Load, Newcomer
from bench.measured import Measured
from bench.problem import BenchProblem
from bench.report import Table, targets_table
from sandbox import arrivals
from sandbox.clients import Imap
from sandbox.problem import SandboxProblem
from sandbox.relay import Sandbox

NAME = "kill"
KILLS = 200
QUICK = 2
AT_A_TIME = 4
LIFE_SECONDS = (0.0, 1.0)
"""How long a daemon may live once it answers: a random time between these."""
SETTLE_SECONDS = 60.0
"""How long what is under way at the last kill may take."""
NOTES = """\
A sandbox with a real Postfix and a real Dovecot; our daemons' sockets outlive them, as on a host.
Four clients make one account after the other, each by a first login over IMAP, store a push token,
and send each account one message of 1.5 KB to 1 MB, by submission or from outside. Each step is
tried until it is confirmed. Meanwhile each of our daemons is killed (SIGKILL) at random moments of
its own, and started again. *Lost* was confirmed and is not there: a message in its mailbox, an
account that its password opens, a push at the gateway for a message that was delivered. A message
may be delivered *twice*: where the kill falls between Postfix's answer and the filter's own, the
sender has to try again (RFC 5321, 4.5.4.1). *Refused* was answered with 5yz."""


class Result(Measured, frozen=True, kw_only=True):
    """What became of accounts, messages and pushes."""

    kills: dict[str, int]
    """By daemon."""
    tries: int
    accounts: int
    accounts_lost: int
    messages: int
    messages_lost: int
    messages_twice: int
    pushes_lost: int
    refused: list[str]

    def verdicts(self) -> list[Verdict]:
        """The targets."""
        return [
            at_most("messages lost", 0, self, lambda result: result.messages_lost),
            at_most("messages refused", 0, self, lambda result: len(result.refused)),
            at_most("accounts lost", 0, self, lambda result: result.accounts_lost),
            at_most("pushes lost", 0, self, lambda result: result.pushes_lost),
        ]

    def tables(self) -> list[Table]:
        """The targets, and the counts behind them."""
        counts = {
            **{f"kills of {name}": count for name, count in self.kills.items()},
            "steps tried": self.tries,
            "accounts made": self.accounts,
            "messages accepted": self.messages,
            "messages delivered twice": self.messages_twice,
        }
        rows = [[name, f"{count:,}"] for name, count in counts.items()]
        return [targets_table(self.verdicts()), Table("Under the kills", ("", "count"), rows)]


def run(kills: int, report: Callable[[str], None]) -> Result:
    """Kill each daemon so many times under load; raises BenchProblem."""
    # Not in /tmp, which is often memory: Postfix' queue files and mailboxes belong on a disk.
    with tempfile.TemporaryDirectory(prefix="postern-bench-", dir="/var/tmp") as directory:
        Path(directory).chmod(0o711)
        try:
            with Sandbox(Path(directory) / "sandbox") as sandbox:
                hold_sockets(sandbox)
                loads = [Load(sandbox) for _ in range(AT_A_TIME)]
                killed = _kill_under_load(sandbox, loads, kills, report)
                report("looking for what was confirmed")
                return summed_up(sandbox, loads, killed, SETTLE_SECONDS)
        except SandboxProblem as problem:
            raise BenchProblem(str(problem)) from None


def _kill_under_load(
    sandbox: Sandbox, loads: Sequence[Load], kills: int, report: Callable[[str], None]
) -> dict[str, int]:
    chance = random.Random()  # noqa: S311 - moments, not secrets
    names = tuple(listeners(sandbox))

    def kill_again_and_again(name: str) -> None:
        for number in range(kills):
            report(f"kill {number + 1} of {kills} of {name}")
            time.sleep(chance.uniform(*LIFE_SECONDS))
            sandbox.kill(name)
            sandbox.restart(name)

    for load in loads:
        load.start()
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(kill_again_and_again, names))
    for load in loads:
        load.stop()
    for load in loads:
        load.join(SETTLE_SECONDS)
    if any(load.is_alive() for load in loads):
        raise BenchProblem("a step under way is not done a minute after the last kill")
    return dict.fromkeys(names, kills)


def summed_up(
    sandbox: Sandbox, loads: Sequence[Load], kills: dict[str, int], patience: float
) -> Result:
    """Compare what the clients know with the relay; raises BenchProblem.

    `patience` is how long deliveries and pushes under way may take, in seconds.
    """
    newcomers = [newcomer for load in loads for newcomer in load.newcomers]
    accepted = [newcomer for newcomer in newcomers if newcomer.sent_to]
    if not accepted:
        raise BenchProblem("no message was accepted, so that none could be lost")
    deadline = time.monotonic() + patience
    while (missing := _missing(sandbox, accepted)) != (0, 0) and time.monotonic() < deadline:
        time.sleep(0.5)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        opened = list(pool.map(lambda each: _opens(sandbox, each), newcomers))
    return Result(
        kills=kills,
        tries=sum(load.tries for load in loads),
        accounts=len(newcomers),
        accounts_lost=opened.count(False),
        messages=len(accepted),
        messages_lost=missing[0],
        messages_twice=sum(_messages(sandbox, each) > 1 for each in accepted),
        pushes_lost=missing[1],
        refused=[answer for load in loads for answer in load.refused],
    )


def _missing(sandbox: Sandbox, accepted: Sequence[Newcomer]) -> tuple[int, int]:
    """How many accepted messages are in no mailbox, and how many delivered ones had no push."""
    delivered = [each for each in accepted if _messages(sandbox, each)]
    pushed = set(arrivals.tokens(sandbox.ports["gateway"]))
    silent = [each for each in delivered if each.token not in pushed]
    return len(accepted) - len(delivered), len(silent)


def _messages(sandbox: Sandbox, newcomer: Newcomer) -> int:
    """How many messages there are in a mailbox, by its files (maildir(5))."""
    mailbox = sandbox.layout.mail / newcomer.login.address
    return sum(1 for folder in ("new", "cur") for _ in (mailbox / folder).glob("*"))


def _opens(sandbox: Sandbox, newcomer: Newcomer) -> bool:
    """Whether the account's password still opens it; every newcomer has logged in before."""
    try:
        with Imap(sandbox.ports, newcomer.login):
            return True
    except (imaplib.IMAP4.error, OSError):
        return False
