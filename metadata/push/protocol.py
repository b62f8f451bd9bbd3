"""What the notifier needs: a queue of pushes, and a gateway that takes them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Push:
    """One push that is owed: a message came for `address`, and `token` is one of its devices.

    `queued` is the time of the newest message, in seconds since the epoch; `failures` counts tries
    in vain. `id` is unique within the queue, `version` the queue's own.
    """

    id: int
    address: str
    token: str
    queued: float
    failures: int
    version: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Pushes that are the caller's to try and settle, and when the next one will be due."""

    pushes: Sequence[Push]
    next_due: float | None


class PushQueue(Protocol):
    """Pushes owed, at most one per address and token. Times are in seconds since the epoch.

    A claimed push is nobody else's until it is settled: by `done`, `give_up` or `postpone`. After
    a crash nothing is claimed, so a push may be repeated and is never lost.
    """

    async def owe(self, address: str, tokens: Sequence[str], now: float, /) -> None:
        """Owe each token a push for a message that came at `now`, durably before this returns.

        `tokens` are all that `address` has: nothing is owed any more to others that it had. A
        token that has failed twice or more keeps the time of its next try: a message does not
        hurry it.
        """

    async def claim(self, now: float, most: int, passed_over: Collection[str] = (), /) -> Claim:
        """Claim at most `most` pushes that are due, the newest messages' first.

        None is for an address in `passed_over`.
        """

    async def claim_probe(
        self, now: float, failing: Sequence[str], taken: Sequence[str], /
    ) -> Claim:
        """Claim the one push that says most about the gateway, of those that are due.

        At best it is for an address that is not `failing`, with one of the tokens in `taken`; if
        every address fails, the first of `failing` that has one.
        """

    async def done(self, push: Push, now: float, /) -> bool:
        """The gateway took `push`. Return whether it is owed again: a message came meanwhile."""

    async def give_up(self, push: Push, /) -> None:
        """Owe nothing to the token of `push` any more."""

    async def postpone(self, push: Push, due: float, /) -> None:
        """`push` failed: try it again at `due`."""

    async def hurry(self) -> None:
        """Make every push that waits for its next try due at once: an outage is over."""

    async def backlog(self) -> tuple[int, float | None]:
        """Return how many pushes are owed, and when the oldest was queued."""

    async def close(self) -> None:
        """Finish what has been asked for, and close."""


class Outcome(Enum):
    """What became of a request to the gateway."""

    TAKEN = "taken"
    GONE = "gone"
    """The gateway asks to forget the token."""
    REFUSED = "refused"
    """The gateway finds fault with this request."""
    FAILED = "failed"
    """The gateway is in trouble, or cannot be reached."""


class Answer(NamedTuple):
    """What the gateway said to a request."""

    outcome: Outcome
    wait: float = 0.0
    """Seconds it asked to wait."""


class Gateway(Protocol):
    """What takes pushes. It raises nothing: the unexpected is FAILED."""

    async def post(self, token: str, /) -> Answer:
        """Have one token's device woken."""

    async def close(self) -> None:
        """Close every connection."""
