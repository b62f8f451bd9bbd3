"""A rate limit for each key (a sender, a network): the generic cell rate algorithm.

Source: ITU-T I.371, Annex A. For each key one number is kept: the theoretical arrival time, when
its burst will be full again. A clock that jumps would open or shut the gate, so `now` is of a
monotonic one.
"""

MAX_KEYS = 100_000
"""Keys remembered at a time; a few megabytes."""


class RateLimiter:
    """Allows `burst` at once and `per_minute` in the long run."""

    def __init__(self, per_minute: float, burst: int, max_keys: int = MAX_KEYS) -> None:
        self._interval = 60.0 / per_minute
        self._tolerance = self._interval * (burst - 1)
        self._max_keys = max_keys
        self._arrival: dict[str, float] = {}

    def allow(self, key: str, now: float) -> bool:
        """Whether `key` may go on at `now` (seconds of a monotonic clock); if so, it is counted."""
        arrival = max(self._arrival.get(key, now), now)
        if arrival - now > self._tolerance:
            return False
        if key not in self._arrival and len(self._arrival) >= self._max_keys:
            self._make_room(now)
        self._arrival[key] = arrival + self._interval
        return True

    def __len__(self) -> int:
        return len(self._arrival)

    def _make_room(self, now: float) -> None:
        """Forget who has a full burst again; if all are busy, those nearest to it."""
        self._arrival = {key: time for key, time in self._arrival.items() if time > now}
        excess = len(self._arrival) - self._max_keys // 2
        if excess > 0:
            for key in sorted(self._arrival, key=self._arrival.__getitem__)[:excess]:
                del self._arrival[key]
