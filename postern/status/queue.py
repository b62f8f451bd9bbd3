"""Postfix' queue, as `postqueue -j` lists it: one JSON object per message (postqueue(1)). Pure."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from postern.status.wording import duration

REASONS = 3
"""How many reasons are shown, the most frequent ones."""
REASON_LENGTH = 100
_ADDRESS = re.compile(r"<?[^\s<>]+@[^\s<>]+>?")


class UnreadableQueue(ValueError):
    """The text is not what `postqueue -j` prints."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message in the queue."""

    seconds: float
    """For how long."""
    domains: frozenset[str]
    """Of the recipients that it waits for."""
    reasons: tuple[str, ...]
    """Why, where Postfix has tried; without addresses."""


@dataclass(frozen=True, slots=True)
class Queue:
    """All that waits."""

    messages: Sequence[Waiting]

    def oldest_for(self, domain: str) -> float | None:
        """For how long the oldest message to a domain has waited, in seconds; None without one."""
        return max((each.seconds for each in self.messages if domain in each.domains), default=None)

    def described(self, domain: str) -> str:
        """The queue in a sentence, mail for `domain` apart, with the reasons."""
        oldest = max(each.seconds for each in self.messages)
        text = f"{len(self.messages):,} in the queue, the oldest for {duration(oldest)}"
        own = self.oldest_for(domain)
        if own is not None:
            text += f", for {domain} itself the oldest for {duration(own)}"
        reasons = Counter(reason for each in self.messages for reason in set(each.reasons))
        listed = "; ".join(f"{n:,} × {reason}" for reason, n in reasons.most_common(REASONS))
        return f"{text} ({listed})" if listed else text


def read_queue(text: str, now: float) -> Queue:
    """Read what `postqueue -j` printed at `now` (seconds since the epoch).

    Raises UnreadableQueue.
    """
    try:
        return Queue([_waiting(json.loads(line), now) for line in text.splitlines() if line])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableQueue(type(error).__name__) from None


def _waiting(entry: dict[str, object], now: float) -> Waiting:
    recipients = entry["recipients"]
    arrival = entry["arrival_time"]
    assert isinstance(recipients, list)
    assert isinstance(arrival, int)
    return Waiting(
        max(0.0, now - arrival),
        frozenset(each["address"].rpartition("@")[2].lower() for each in recipients),
        tuple(_anonymous(each["delay_reason"]) for each in recipients if "delay_reason" in each),
    )


def _anonymous(reason: str) -> str:
    return _ADDRESS.sub("<…>", reason)[:REASON_LENGTH]
