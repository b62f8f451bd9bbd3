"""The walk over all mailboxes that a report is made from."""

from collections.abc import Callable
from datetime import date

from postern.expiry.mailboxes import names
from postern.report.statistics import DAY, Statistics
from postern.users.details import details
from relay.mailbox.directory import Mailbox, Mailboxes

PROGRESS_EVERY = 100
"""Mailboxes between two reports of progress."""
EPOCH = date(1970, 1, 1)


def gather(mailboxes: Mailboxes, now: int, progress: Callable[[int], None]) -> Statistics:
    """Look at every mailbox; `progress` is called with how many.

    One that disappears meanwhile, or cannot be read, is counted and left out. Raises OSError if
    none can be read. `now` is in seconds since the epoch.
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
    return now // DAY - (date.fromisoformat(day) - EPOCH).days
