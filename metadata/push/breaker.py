"""How many requests a gateway may be sent, by what became of those before: a circuit breaker. Pure.

When several pushes in a row have failed, not one of them taken, it is the gateway's fault and not
theirs: it is shut off, and probed with one request at a time, after growing pauses. One push taken
opens it again, with little room at first, which grows with each that is taken, so that what has
waited drains without a rush.

That single pushes fail is left to their own back-off (`metadata.push.backoff`).
"""

from metadata.push.backoff import MAX_DELAY, spread

SHUT_AFTER = 8
"""Different pushes that fail in a row; where one in ten fails, a chance of one in a hundred
million."""
FIRST_PAUSE = 2.0
"""Seconds, about, from the shutting to the first probe; it doubles with each that fails."""
MAX_PAUSE = 60.0
"""Seconds, about, at most: so late a gateway is found to be well again."""
FEW = 10
"""Requests at a time after an outage."""
OUTAGE_SECONDS = 60.0
"""What failed for so long in a row was an outage, however few pushes there were to fail."""


class Breaker:
    """The state of one gateway. Times are in seconds of a monotonic clock."""

    def __init__(self, most: int) -> None:
        """`most`: requests at a time."""
        self._most = most
        self._room = most
        self._failing: set[object] = set()
        self._since = 0.0
        self._shut_until: float | None = None
        self._pauses = 0
        self._probe: object | None = None

    @property
    def is_shut(self) -> bool:
        """Whether only probes go to the gateway."""
        return self._shut_until is not None

    def room(self, now: float, under_way: int) -> int:
        """How many more requests may begin at `now`, with so many under way."""
        if self._shut_until is None:
            return max(self._room - under_way, 0)
        probe_is_due = self._probe is None and now >= self._shut_until
        return 1 if probe_is_due and under_way < self._most else 0

    def next_probe(self, under_way: int) -> float | None:
        """When there will be room for a probe, None where time alone does not make any."""
        only_time = self._probe is None and under_way < self._most
        return self._shut_until if only_time else None

    def began(self, push: object, now: float) -> None:
        """A request for `push`, whatever tells it from others, is under way.

        One that had its room before the gateway was shut off is no probe.
        """
        if self._shut_until is not None and now >= self._shut_until:
            self._probe = push

    def succeeded(self, now: float) -> bool:
        """The gateway has answered for a push; whether that is the end of an outage."""
        long = len(self._failing) > 1 and now - self._since >= OUTAGE_SECONDS
        outage = self.is_shut or long
        self._room = min(self._room + 1, self._most)
        self._failing.clear()
        self._shut_until, self._probe, self._pauses = None, None, 0
        return outage

    def failed(self, push: object, now: float, chance: float, asked: float = 0.0) -> None:
        """The gateway has not taken `push`; `asked` is how many seconds it wants to be left alone.

        `chance` is in [0, 1).
        """
        if not self._failing:
            self._since = now
        if self.is_shut:
            # The others began before it was shut, and tell nothing that is not known.
            if push == self._probe:
                self._shut(now, chance, asked)
            return
        self._failing.add(push)
        if len(self._failing) >= SHUT_AFTER:
            self._shut(now, chance, asked)

    def _shut(self, now: float, chance: float, asked: float) -> None:
        # The exponent is bounded before the power is taken: a huge one would overflow.
        pause = spread(min(FIRST_PAUSE * 2 ** min(self._pauses, 16), MAX_PAUSE), chance)
        self._shut_until = now + max(pause, min(asked, MAX_DELAY))
        self._probe, self._pauses = None, self._pauses + 1
        self._room = min(FEW, self._most)
