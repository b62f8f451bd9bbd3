"""When a push that failed is tried again, and until when. Pure.

The delays grow fourfold: a gateway's hiccup costs seconds, an outage few requests. Chance spreads
them, so that what failed together does not come back together.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_DELAY = 2.0
"""Seconds, about, to the first retry."""
GROWTH = 4.0
MAX_DELAY = 3600.0
"""Seconds, at most, between two tries."""
SPREAD = 0.25
"""How far chance moves a delay to either side."""
DEADLINE = 5 * 3600.0
"""Seconds after which a push is given up: who was not woken by then has looked by himself."""


def delay(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row (from 1); `chance` is in [0, 1)."""
    # The exponent is bounded before the power is taken: a huge one would overflow.
    wanted = FIRST_DELAY * GROWTH ** min(failures - 1, 16)
    return min(spread(min(wanted, MAX_DELAY), chance), MAX_DELAY)


def spread(seconds: float, chance: float) -> float:
    """About so many seconds, by chance, which is in [0, 1)."""
    return seconds * (1 - SPREAD + 2 * SPREAD * chance)


def retry_after(header: str, now: float) -> float:
    """Seconds that a `Retry-After` asks to wait, 0 for one that says nothing (RFC 9110, 10.2.3).

    It holds a number of seconds or a date; `now` is in seconds since the epoch.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(date.timestamp() - now, 0.0)


def next_due(
    now: float, queued: float, failures: int, chance: float, asked: float = 0.0
) -> float | None:
    """When to try again; None when the push is to be given up. All in seconds since the epoch.

    `asked` is how many seconds the gateway has asked to be left alone.

    The last try is at the deadline, however long the delay has become. A push that is found later
    still (the daemon was down, or the clock was set) has one try.
    """
    deadline = queued + DEADLINE
    if now >= deadline:
        return None
    return min(now + max(delay(failures, chance), asked), deadline)
