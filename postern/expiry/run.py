"""A run over all mailboxes: one walk, several processes, a bounded number of names in memory."""

import logging
import multiprocessing.popen_fork
import multiprocessing.queues
import multiprocessing.synchronize
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from postern.expiry.mailboxes import GRACE_SECONDS, expire_mailbox, names, settle
from postern.expiry.rules import Rules
from postern.expiry.tally import Tally

# A pool imports these when it starts. By then the process may act as a user who cannot read where
# the interpreter lies (`postern.acting`).
_PRELOADED = (
    multiprocessing.popen_fork,
    multiprocessing.queues,
    multiprocessing.synchronize,
)

log = logging.getLogger(__name__)

CHUNK = 64
"""Mailboxes handed to a worker at a time."""
WAITING = 4
"""Chunks per worker that may wait."""

Progress = Callable[[Tally], None]


def run(
    root: Path,
    domain: str,
    rules: Rules,
    *,
    act: bool,
    workers: int,
    progress: Progress = lambda _: None,
) -> Tally:
    """Expire every mailbox below `root`; raises OSError if `root` cannot be read."""
    total = Tally()
    if act:
        settle(root, rules)
    found = names(root, domain)
    chunks = iter(lambda: list(islice(found, CHUNK)), [])
    for tally in _spread(root, chunks, rules, act=act, workers=workers):
        total.add(tally)
        progress(total)
    if act and total.mailboxes_removed + total.half_made_removed:
        # A login under way has this long to bring its mailbox back.
        time.sleep(GRACE_SECONDS)
        settle(root, rules)
    return total


def _spread(
    root: Path, chunks: Iterator[list[str]], rules: Rules, *, act: bool, workers: int
) -> Iterator[Tally]:
    if workers == 1:
        yield from (expire_chunk(root, chunk, rules, act) for chunk in chunks)
        return
    with ProcessPoolExecutor(workers, initializer=_leave_the_keyboard) as pool:
        running: set[Future[Tally]] = set()
        for chunk in chunks:
            # The first one forks the workers: an interrupt would reach them half made.
            with _interrupts_later():
                running.add(pool.submit(expire_chunk, root, chunk, rules, act))
            if len(running) >= workers * WAITING:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        yield from (each.result() for each in running)
        # An interrupt while the pool ends would have Python's exit write to a pipe just closed.
        with _interrupts_later():
            pool.shutdown()


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Ctrl-C within is heard at the end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _leave_the_keyboard() -> None:
    """Ctrl-C reaches all processes of a terminal; the parent ends its workers by itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def expire_chunk(root: Path, chunk: list[str], rules: Rules, act: bool) -> Tally:
    """Expire some mailboxes. One that cannot be read is counted as skipped."""
    total = Tally()
    for name in chunk:
        try:
            total.add(expire_mailbox(root / name, rules, act=act))
        except OSError as error:
            # A mailbox' name is an address, and stays out of the log.
            log.error("a mailbox could not be expired: %s", error.strerror)  # noqa: TRY400 - expected, so no traceback
            total.skipped += 1
    return total
