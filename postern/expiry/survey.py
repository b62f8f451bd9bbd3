"""A look before a run: would it delete more than the passing of time explains?

A clock that has leapt forward makes everything old at once. Two signs are looked for:

1. More than half of all accounts are inactive.
2. More than half of the messages that were within their time when the newest one came are overdue
   now. Messages that were overdue by then already are old by any clock, and are not counted.

A relay where nobody has come or written for long shows the same signs: then the operator decides.
"""

from array import array
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from postern.expiry.mailboxes import BLOCKED, last_login, names
from postern.expiry.maildir import messages_in, opened
from postern.expiry.rules import DAY, Rules

SAMPLE = 300
"""Mailboxes whose messages are looked at; a directory's order is random enough."""
SAMPLE_MESSAGES = 200_000


@dataclass(slots=True)
class Survey:
    """What there is, and what of it would go."""

    accounts: int = 0
    accounts_due: int = 0
    messages: int = 0
    """Of the sample: those within their time when the newest one came."""
    messages_due: int = 0
    newest: int = 0
    """When the newest message of the sample came, in seconds since the epoch."""

    def problem(self, rules: Rules) -> str | None:
        """Why the run should not begin, with the remedy; None where nothing is suspicious."""
        if 2 * self.accounts_due > self.accounts:
            what = f"{self.accounts_due} of {self.accounts} accounts would be deleted as inactive"
        elif 2 * self.messages_due > self.messages:
            idle = (rules.now - self.newest) // DAY
            what = (
                f"most messages would be deleted, and the newest one came {idle} days ago by this "
                "host's clock"
            )
        else:
            return None
        return f"{what}: is the clock right (`timedatectl`)? If it is, give --force."


def survey(root: Path, domain: str, rules: Rules) -> Survey:
    """Look at every account, and at the messages of a sample; raises OSError."""
    found, times = Survey(), array("q")
    for number, name in enumerate(names(root, domain)):
        with opened(str(root / name)) as descriptor:
            login = None if descriptor is None else last_login(descriptor)
            if login is not None and login != BLOCKED:
                found.accounts += 1
                found.accounts_due += rules.mailbox_is_due(login)
            if descriptor is not None and number < SAMPLE:
                room = SAMPLE_MESSAGES - len(times)
                times.extend(each.mtime for each in islice(messages_in(descriptor), room))
    _count(times, rules, found)
    return found


def _count(times: "array[int]", rules: Rules, found: Survey) -> None:
    found.newest = max(times, default=rules.now)
    since = found.newest - (rules.now - rules.mails_before)
    found.messages = sum(time >= since for time in times)
    found.messages_due = sum(since <= time < rules.mails_before for time in times)
