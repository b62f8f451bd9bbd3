"""What is counted and timed of pushes, for Prometheus. No label names anybody."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0, 18000.0)
"""Seconds from a message to the gateway's answer: moments, or as long as an outage lasts."""
OUTCOMES = ("taken", "gone", "refused", "failed", "given_up")
"""What became of a push: the gateway took it, has no such token, found fault with the request (4xx)
or failed, and it is tried again; or it was tried for long enough."""


class PushFigures:
    """Counters, gauges and a histogram in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        outcomes = Counter(
            "metadata_pushes",
            "Requests to the gateway, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._outcomes = {name: outcomes.labels(name) for name in OUTCOMES}
        self._seconds = Histogram(
            "metadata_push_seconds",
            "From a message to the gateway's answer that its push is taken, in seconds.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "metadata_pushes_in_flight", "Requests under way.", registry=self.registry
        )
        self.shut = Gauge(
            "metadata_gateway_shut",
            "1 while the gateway takes nothing and is only probed, 0 while it is well.",
            registry=self.registry,
        )
        self._owed = Gauge("metadata_pushes_owed", "Pushes in the queue.", registry=self.registry)
        self._oldest = Gauge(
            "metadata_oldest_push_seconds",
            "Age of the oldest push in the queue, in seconds; 0 where there is none.",
            registry=self.registry,
        )

    def came(self, outcome: str) -> None:
        """A push came to one of `OUTCOMES`."""
        self._outcomes[outcome].inc()

    def took(self, seconds: float) -> None:
        """A push was taken so long after its message."""
        self._seconds.observe(max(seconds, 0.0))

    def queued(self, owed: int, oldest: float) -> None:
        """This many pushes are owed, the oldest for so many seconds."""
        self._owed.set(owed)
        self._oldest.set(max(oldest, 0.0))
