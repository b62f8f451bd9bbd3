"""Logging, set up once a process: one line an event on standard error, for the journal to keep.

No line at INFO or above carries an address, a token or a client's IP; DEBUG may. Hence
`unexpected`: an exception's text often repeats the data that caused it, its stack does not.
"""

import asyncio
import logging
import os
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

# Syslog priorities, which the journal reads off the beginning of a line (sd-daemon(3)).
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class _Formatter(logging.Formatter):
    def __init__(self, *, journal: bool) -> None:
        when = "" if journal else "%(asctime)s "
        super().__init__(f"{when}%(levelname)s %(name)s: %(message)s")
        self._journal = journal

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Leave out an exception's text, which a library of ours may have logged with its stack."""
        kind, _, stack = ei
        name = kind.__name__ if kind else "None"
        return f"{''.join(traceback.format_tb(stack))}{name}".rstrip()

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", "\n    ")
        return f"<{_PRIORITIES.get(record.levelname, 6)}>{text}" if self._journal else text


def setup(level: str = "INFO") -> None:
    """Send all logging to standard error at `level` (one of logging's names).

    So go exceptions that nobody caught, without their texts.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def setup_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Report what callbacks and forgotten tasks of a loop raise, without the exceptions' texts."""
    loop.set_exception_handler(_uncaught_in_loop)


def _uncaught(
    kind: type[BaseException], error: BaseException | None, _stack: TracebackType | None
) -> None:
    if error is not None and not issubclass(kind, (KeyboardInterrupt, SystemExit)):
        unexpected(log, "what nobody watched", error)


def _uncaught_in_loop(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # The other values of a context name tasks and transports, and with them addresses.
    error = context.get("exception")
    if error is not None:
        unexpected(log, "what nobody awaited", error)
    else:
        log.error("the event loop reports: %s", context.get("message"))


def unexpected(log: logging.Logger, during: str, error: BaseException) -> None:
    """Report an unforeseen exception: its type and stack at ERROR, its text at DEBUG only."""
    stack = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    log.error("unexpected %s during %s\n%s", type(error).__name__, during, stack)
    log.debug("the text of that %s: %s", type(error).__name__, error)
