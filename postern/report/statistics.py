"""What a report counts: mailboxes by state, last login, size and devices. Pure.

Only numbers: no address, and no day on which somebody logged in, leaves this module.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from postern.users.details import Details

DAY = 86400
LOGIN_DAYS = (1, 7, 30, 90)
"""Bounds of the ages of last logins, in days."""
STORAGE_MB = (1, 10, 50, 100, 250, 500)
"""Bounds of mailboxes' sizes, in MB of 10^6 octets, as quota counts them."""
MESSAGES = (0, 10, 100, 1000)
DEVICES = (0, 1, 2, 3)
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many accounts have at most `bound` of something, and more than the bucket before."""

    label: str
    bound: int | None
    """None: more than all the others."""
    accounts: int


@dataclass(slots=True)
class Distribution:
    """Accounts by how much of one thing they have."""

    bounds: tuple[int, ...]
    unit: str
    whole: bool = True
    """Whether there is nothing between two whole numbers of it."""
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count an account that has `value`."""
        at = next((n for n, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[at] += 1

    def buckets(self) -> list[Bucket]:
        """Each range, with its label."""
        labels, low = [], 0
        for bound in self.bounds:
            span = f"{bound:,}" if low == bound else f"{low:,} to {bound:,}"
            labels.append(span + self.unit)
            low = bound + 1 if self.whole else bound
        labels.append(f"over {self.bounds[-1]:,}{self.unit}")
        bounds = (*self.bounds, None)
        return [Bucket(*each) for each in zip(labels, bounds, self.counts, strict=True)]


@dataclass(slots=True)
class Statistics:
    """The numbers of a report."""

    accounts: int = 0
    blocked: int = 0
    half_made: int = 0
    unreadable: int = 0
    messages: int = 0
    storage: int = 0
    """Octets, as quota counts them."""
    on_disk: int = 0
    devices: int = 0
    logins: Distribution = field(default_factory=lambda: Distribution(LOGIN_DAYS, " days"))
    sizes: Distribution = field(
        default_factory=lambda: Distribution(STORAGE_MB, " MB", whole=False)
    )
    counts: Distribution = field(default_factory=lambda: Distribution(MESSAGES, ""))
    tokens: Distribution = field(default_factory=lambda: Distribution(DEVICES, ""))

    def add(self, one: Details, days_since_login: int | None) -> None:
        """Count one mailbox in; its last login was so many whole days ago."""
        self.messages += one.messages
        self.storage += one.storage
        self.on_disk += one.on_disk
        if one.state == "blocked":
            self.blocked += 1
        elif one.state == "half-made" or days_since_login is None:
            self.half_made += 1
        else:
            self.accounts += 1
            self.devices += one.tokens
            # Who logged in today has not been away for a day.
            self.logins.add(days_since_login)
            self.sizes.add(one.storage / _MB)
            self.counts.add(one.messages)
            self.tokens.add(one.tokens)

    def distributions(self) -> Iterable[tuple[str, str, Distribution]]:
        """Each with a title for people and a name for machines."""
        return (
            ("Accounts by days since the last login", "login_days", self.logins),
            ("Accounts by size of the mailbox", "storage_mb", self.sizes),
            ("Accounts by messages", "messages", self.counts),
            ("Accounts by devices that push wakes", "devices", self.tokens),
        )

    def totals(self) -> dict[str, int]:
        """The single numbers, by name."""
        return {
            "accounts": self.accounts,
            "blocked": self.blocked,
            "half_made": self.half_made,
            "unreadable": self.unreadable,
            "messages": self.messages,
            "storage_octets": self.storage,
            "on_disk_octets": self.on_disk,
            "devices": self.devices,
        }

    def as_json(self) -> dict[str, object]:
        """All of it, for machines."""
        ranges = {
            name: [{"at_most": each.bound, "accounts": each.accounts} for each in dist.buckets()]
            for _, name, dist in self.distributions()
        }
        return {**self.totals(), "accounts_by": ranges}
