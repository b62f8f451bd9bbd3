"""The walk over all mailboxes that a report is made from."""

import calendar
import time
from collections.abc import Callable

from postern.expiry.mailboxes import names
from postern.report.statistics import DAY, Statistics
from postern.users.details import details
from relay.mailbox.directory import Mailbox, Mailboxes

PROGRESS_EVERY = 100
"""Mailboxes between two words of progress."""


def gather(mailboxes: Mailboxes, now: int, progress: Callable[[int], None]) -> Statistics:
    """Look at every mailbox; `progress` hears how many. Raises OSError where none can be read.

    One that goes meanwhile, or cannot be read, is counted and left out. `now` is in seconds since
    the epoch.
    """
    result = Statistics()
    for number, name in enumerate(names(mailboxes.root, mailboxes.domain), 1):
        try:
            one = details(Mailbox(mailboxes.root / name), quota=0)
        except OSError:
            result.unreadable += 1
        else:
            result.add(one, _days_since(one.last_login, now))
        if number % PROGRESS_EVERY == 0:
            progress(number)
    return result


def _days_since(day: str | None, now: int) -> int | None:
    if day is None:
        return None
    return (now - calendar.timegm(time.strptime(day, "%Y-%m-%d"))) // DAY
