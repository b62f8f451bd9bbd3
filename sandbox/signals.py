"""Signals that end the sandbox, none of which is lost.

The kernel may hand a signal to any thread, and one that comes just before pause(2) leaves it
waiting. The interpreter's wakeup descriptor is written in whichever thread the signal arrives, so
the main thread waits for that instead.
"""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals() -> Iterator[Callable[[], None]]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, once: nothing must cut the cleaning up short.

    Yields a function that waits for the end: it never returns, and raises KeyboardInterrupt.
    """
    is_stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if not is_stopping:
            is_stopping = True
            raise KeyboardInterrupt

    ours, interpreters = socket.socketpair()
    interpreters.setblocking(False)

    def wait() -> None:
        while True:
            # What is read are signals' numbers; their handler runs as soon as this returns.
            ours.recv(64)

    with ours, interpreters:
        before = signal.set_wakeup_fd(interpreters.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, stop) for number in NUMBERS}
        try:
            yield wait
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                # What is ending goes on to ignore them.
                signal.signal(number, stop if is_stopping else handler)
