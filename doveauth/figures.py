"""What doveauth counts and times, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from doveauth.policy import Refusal

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds; a login of an account that is there takes under a millisecond, a first one some."""
RESULTS = ("found", "unknown", "failed")
"""A question is answered with an account, without one, or with a temporary failure."""


class Figures:
    """Counters and a histogram in a registry of their own; no label names anybody."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        created = Counter(
            "doveauth_accounts_created", "Accounts that were made.", registry=self.registry
        )
        refusals = Counter(
            "doveauth_refusals",
            "First logins that made no account, by reason.",
            ["reason"],
            registry=self.registry,
        )
        lookups = Counter(
            "doveauth_lookups",
            "Questions of Dovecot, by kind (passdb: a login) and result.",
            ["kind", "result"],
            registry=self.registry,
        )
        seconds = Histogram(
            "doveauth_lookup_seconds",
            "From a question to its answer, in seconds.",
            ["kind"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        # Found once: each .labels() takes a lock and a look-up.
        self._created = created
        self._refusals = {each: refusals.labels(each.name.lower()) for each in Refusal}
        self._lookups = {
            (kind, result): lookups.labels(kind, result)
            for kind in ("passdb", "userdb")
            for result in RESULTS
        }
        self._seconds = {kind: seconds.labels(kind) for kind in ("passdb", "userdb")}

    def created(self) -> None:
        """An account was made."""
        self._created.inc()

    def refused(self, refusal: Refusal) -> None:
        """A first login made no account."""
        self._refusals[refusal].inc()

    def answered(self, kind: str, result: str, seconds: float) -> None:
        """A question of `kind` (passdb, userdb) was answered after so many seconds."""
        self._lookups[kind, result].inc()
        self._seconds[kind].observe(seconds)
