"""Logging, set up once a process: one line an event on standard error, for the journal to keep.

No line at INFO or above carries an address, a token or a client's IP; DEBUG may. Hence
`unexpected`: an exception's text often repeats the data that caused it, its stack does not.
"""

import logging
import os
import sys
import traceback

# Syslog priorities, which the journal reads off the beginning of a line (sd-daemon(3)).
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class _Formatter(logging.Formatter):
    def __init__(self, *, journal: bool) -> None:
        when = "" if journal else "%(asctime)s "
        super().__init__(f"{when}%(levelname)s %(name)s: %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", "\n    ")
        return f"<{_PRIORITIES.get(record.levelname, 6)}>{text}" if self._journal else text


def setup(level: str = "INFO") -> None:
    """Send all logging to standard error at `level` (one of logging's names)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def unexpected(log: logging.Logger, during: str, error: BaseException) -> None:
    """Report an unforeseen exception: its type and stack at ERROR, its text at DEBUG only."""
    stack = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    log.error("unexpected %s during %s\n%s", type(error).__name__, during, stack)
    log.debug("the text of that %s: %s", type(error).__name__, error)
