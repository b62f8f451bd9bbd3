"""What a run did, or would do."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Tally:
    """Counts; `octets` are those of files on disk."""

    mailboxes: int = 0
    mailboxes_removed: int = 0
    half_made_removed: int = 0
    messages: int = 0
    messages_removed: int = 0
    large_removed: int = 0
    trimmed: int = 0
    leftovers_removed: int = 0
    octets: int = 0
    octets_removed: int = 0
    skipped: int = 0
    """Mailboxes that could not be read, or are no directories."""

    def add(self, other: "Tally") -> None:
        """Count in what another worker did."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_COUNTS = tuple(each.name for each in fields(Tally))
