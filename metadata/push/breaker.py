"""How many requests a gateway may be sent, by what became of those before: a circuit breaker. Pure.

1. When pushes for several *addresses* have failed in a row, not one push taken meanwhile, it is the
   gateway's fault and not theirs: it is shut off, and probed with one request at a time, after
   growing pauses. Addresses are counted because one user may set 32 tokens that always fail.
2. An address that failed while a push for another was taken is a suspect: its failures do not count
   again until one of its own pushes is taken. So a few users cannot shut the gateway off twice.
3. A probe is for an address that did not just fail, at best with a token that was taken before
   (`failing` and `taken`, which the queue chooses by).
4. One push taken opens the gateway again, with little room at first, which grows with each that is
   taken, so that what has waited drains without a rush.

That single pushes fail is left to their own back-off (`metadata.push.backoff`). An answer that
refuses a token, any 4xx but 429, is never a failure of the gateway.
"""

from collections.abc import Set

from metadata.push.backoff import MAX_DELAY, spread

SHUT_AFTER = 8
"""Different addresses that fail in a row; if one push in ten fails, a chance of one in a hundred
million."""
FIRST_PAUSE = 2.0
"""Seconds, about, from the shutting to the first probe; doubled by each probe that fails."""
MAX_PAUSE = 60.0
"""Seconds, about, between two probes at most: so late the gateway is found to be well again."""
FEW = 10
"""Requests at a time after an outage."""
OUTAGE_SECONDS = 60.0
"""Failures in a row for so long were an outage, however few pushes there were to fail."""
WELL_SECONDS = 60.0
"""A gateway that has taken a push within so long is well: others' failures are their own."""
REMEMBERED = 1000
"""Suspects, and failing addresses, that are remembered."""
KNOWN_GOOD = 100
"""Tokens taken last that are remembered."""


class Breaker:
    """The state of one gateway. Times are in seconds of a monotonic clock."""

    def __init__(self, most: int) -> None:
        """`most`: requests at a time."""
        self._most = most
        self._room = most
        # Dictionaries for sets in order of arrival: the oldest are forgotten first.
        self._failing: dict[str, None] = {}
        self._suspects: dict[str, None] = {}
        self._taken: dict[str, None] = {}
        self._took_at: float | None = None
        self._since = 0.0
        self._shut_until: float | None = None
        self._pauses = 0
        self._probe: str | None = None

    @property
    def is_shut(self) -> bool:
        """Whether only probes go to the gateway."""
        return self._shut_until is not None

    @property
    def failing(self) -> list[str]:
        """The addresses that have failed since a push was taken; the last to fail comes last."""
        return list(self._failing)

    @property
    def suspects(self) -> Set[str]:
        """The addresses whose failures are their own."""
        return self._suspects.keys()

    @property
    def room_of_suspects(self) -> int:
        """How many requests suspects may have under way, all together."""
        return max(self._room // 20, 1)

    @property
    def taken(self) -> list[str]:
        """Tokens that the gateway took last, each at least once."""
        return list(self._taken)

    def is_well(self, now: float) -> bool:
        """Return whether a push that fails at `now` fails by its own fault."""
        return not self.is_shut and self._took_at is not None and now - self._took_at < WELL_SECONDS

    def room(self, now: float, under_way: int) -> int:
        """Return how many more requests may begin at `now`, with so many under way."""
        if self._shut_until is None:
            return max(self._room - under_way, 0)
        probe_is_due = self._probe is None and now >= self._shut_until
        return 1 if probe_is_due and under_way < self._most else 0

    def next_probe(self, under_way: int) -> float | None:
        """Return when there will be room for a probe, None if time alone does not make any."""
        only_time = self._probe is None and under_way < self._most
        return self._shut_until if only_time else None

    def began(self, address: str, now: float) -> None:
        """A request for `address` is under way.

        One that was given its room before the gateway was shut off is no probe.
        """
        if self._shut_until is not None and now >= self._shut_until:
            self._probe = address

    def succeeded(self, address: str, token: str, now: float) -> bool:
        """The gateway took a push. Return whether that ends an outage."""
        long = len(self._failing) > 1 and now - self._since >= OUTAGE_SECONDS
        outage = self.is_shut or long
        self._suspects |= self._failing
        self._suspects.pop(address, None)
        _forget_oldest(self._suspects, REMEMBERED)
        self._took_at = now
        _note(self._taken, token, KNOWN_GOOD)
        self._room = min(self._room + 1, self._most)
        self._open()
        return outage

    def refused(self, address: str) -> bool:
        """The gateway answers, but not for this token. Return whether that ends an outage."""
        outage = self.is_shut and address == self._probe
        if outage:
            self._open()
        return outage

    def failed(self, address: str, now: float, chance: float, asked: float = 0.0) -> None:
        """The gateway has not taken a push; `asked` is how many seconds it wants to be left alone.

        `chance` is in [0, 1).
        """
        if self.is_shut:
            # The others began before it was shut, and prove nothing new.
            if address == self._probe:
                _note(self._failing, address, REMEMBERED)
                self._shut(now, chance, asked)
            return
        if address in self._suspects:
            return
        if not self._failing:
            self._since = now
        _note(self._failing, address, REMEMBERED)
        if len(self._failing) >= SHUT_AFTER:
            self._shut(now, chance, asked)

    def _open(self) -> None:
        self._failing.clear()
        self._shut_until, self._probe, self._pauses = None, None, 0

    def _shut(self, now: float, chance: float, asked: float) -> None:
        # The exponent is bounded before the power is taken: a huge one would overflow.
        pause = spread(min(FIRST_PAUSE * 2 ** min(self._pauses, 16), MAX_PAUSE), chance)
        self._shut_until = now + max(pause, min(asked, MAX_DELAY))
        self._probe, self._pauses = None, self._pauses + 1
        self._room = min(FEW, self._most)


def _note(names: dict[str, None], name: str, most: int) -> None:
    names.pop(name, None)
    names[name] = None
    _forget_oldest(names, most)


def _forget_oldest(names: dict[str, None], most: int) -> None:
    while len(names) > most:
        del names[next(iter(names))]
