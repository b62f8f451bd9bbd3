"""When a push that failed is tried again, and until when. Pure.

The delays grow fourfold: a gateway's hiccup costs seconds, an outage few requests. They are spread
at random, so that pushes which failed together do not come back together.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_DELAY = 2.0
"""Seconds, about, to the first retry."""
GROWTH = 4.0
MAX_DELAY = 3600.0
"""Seconds, at most, between two tries."""
SPREAD = 0.25
"""How far a delay is moved at random to either side, as a fraction of it."""
DEADLINE = 5 * 3600.0
"""Seconds after which a push is given up: by then the user has opened the app anyway."""
TOKEN_FAILURES = 8
"""Tries after which a token is forgotten that failed each time, if the gateway takes others: almost
two hours, by the delays above."""


def delay(failures: int, chance: float) -> float:
    """Return the seconds to wait after so many failures in a row (from 1); `chance` in [0, 1)."""
    # The exponent is bounded before the power is taken: a huge one would overflow.
    wanted = FIRST_DELAY * GROWTH ** min(failures - 1, 16)
    return min(spread(min(wanted, MAX_DELAY), chance), MAX_DELAY)


def spread(seconds: float, chance: float) -> float:
    """Return about so many seconds; `chance` is in [0, 1)."""
    return seconds * (1 - SPREAD + 2 * SPREAD * chance)


def retry_after(header: str, now: float) -> float:
    """Return the seconds that a `Retry-After` asks to wait (RFC 9110, 10.2.3), at most MAX_DELAY.

    The header holds a number of seconds or a date; one that holds neither asks for 0. `now` is in
    seconds since the epoch.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_DELAY)
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        asked = date.timestamp() - now
    except (ValueError, OverflowError, TypeError, IndexError):  # what its parser is known to raise
        return 0.0
    return min(max(asked, 0.0), MAX_DELAY)


def next_due(
    now: float, queued: float, failures: int, chance: float, asked: float = 0.0
) -> float | None:
    """Return when to try again, None if the push is to be given up. Seconds since the epoch.

    `asked` is how many seconds the gateway has asked to be left alone; more than MAX_DELAY of them
    are not granted.

    The last try is at the deadline, however long the delay has become. A push that is found after
    it (the daemon was down, or the clock was set) has one try.
    """
    deadline = queued + DEADLINE
    if now >= deadline:
        return None
    return min(now + max(delay(failures, chance), min(asked, MAX_DELAY)), deadline)
