"""One mailbox' messages: those that are due are deleted, and those over quota.

With `act` false nothing is changed, and what would change is counted.
"""

from collections.abc import Callable

from postern.expiry.maildir import (
    INBOX,
    QUOTA_FILE,
    contents,
    files,
    message,
    messages_in,
    opened,
    part_of,
    unlink,
)
from postern.expiry.rules import (
    LARGE,
    STALE_DRAFT,
    STALE_TMP,
    Message,
    Rules,
    counted,
    is_seen,
    over_quota,
    to_trim,
)
from postern.expiry.tally import Tally
from relay.mailbox.drafts import is_draft

_PARTS = ("cur", "new")


class OpenMailbox:
    """A mailbox that is open: `descriptor` is its directory's."""

    def __init__(self, descriptor: int, rules: Rules, *, act: bool) -> None:
        self.tally = Tally(mailboxes=1)
        self._descriptor = descriptor
        self._rules = rules
        self._act = act

    def expire(self) -> Tally:
        """Remove what is due, then what is over the quota; raises OSError."""
        left, found = 0, contents(self._descriptor)
        for folder in found.folders:
            for part in _PARTS:
                left += self._expire_part(part_of(folder, part), seen_counts=part == "cur")
            self._clear(part_of(folder, "tmp"), STALE_TMP)
        if any(map(is_draft, found.others)):
            self._clear(INBOX, STALE_DRAFT, is_draft)
        if over_quota(left, self._rules.quota):
            self._trim(left)
        if self.tally.messages_removed:
            self._forget_quota()
        return self.tally

    def trim(self) -> Tally:
        """Remove what is over the quota and nothing else; raises OSError."""
        total = sum(counted(each.name, each.octets) for each in messages_in(self._descriptor))
        if over_quota(total, self._rules.quota):
            self._trim(total)
        if self.tally.messages_removed:
            self._forget_quota()
        return self.tally

    def _expire_part(self, part: str, *, seen_counts: bool) -> int:
        """Remove what is due in one directory. Return what the rest counts for the quota."""
        # A run spends most of its processor time here, so there are few calls.
        left = messages = octets = 0
        mails_before = self._rules.mails_before
        with opened(part, self._descriptor) as directory:
            if directory is None:
                return 0
            for name, state in files(directory):
                size = state.st_size
                messages += 1
                octets += size
                if state.st_mtime < mails_before:
                    self._remove(name, size, directory)
                elif size <= LARGE or not self._expire_large(
                    message(part, name, state), directory, seen_counts=seen_counts
                ):
                    left += counted(name, size)
        self.tally.messages += messages
        self.tally.octets += octets
        return left

    def _expire_large(self, found: Message, directory: int, *, seen_counts: bool) -> bool:
        """Remove a large message if it is due. Return whether it is."""
        due = self._rules.message_is_due(found, seen=seen_counts and is_seen(found.name))
        if due and self._remove(found.name, found.octets, directory):
            self.tally.large_removed += 1
        return due

    def _trim(self, total: int) -> None:
        messages, rules = messages_in(self._descriptor), self._rules
        if not self._act:
            messages = (each for each in messages if not self._is_due(each))
        for each in to_trim(messages, total, rules.quota, rules.now):
            with opened(each.folder, self._descriptor) as directory:
                if directory is not None and self._remove(each.name, each.octets, directory):
                    self.tally.trimmed += 1

    def _is_due(self, each: Message) -> bool:
        seen = each.folder.endswith("cur") and is_seen(each.name)
        return self._rules.message_is_due(each, seen=seen)

    def _remove(self, name: str, octets: int, directory: int) -> bool:
        if not self.tally.messages_removed:
            # Before the first one too: a run that is killed in between leaves no wrong sum behind.
            self._forget_quota()
        if self._act and not unlink(name, directory):
            return False
        self.tally.messages_removed += 1
        self.tally.octets_removed += octets
        return True

    def _clear(
        self, place: str, stale_after: int, which: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Remove what a crash left in `place`, once it is that many seconds old."""
        with opened(place, self._descriptor) as directory:
            if directory is None:
                return
            for name, state in files(directory):
                if not which(name) or state.st_mtime > self._rules.now - stale_after:
                    continue
                if not self._act or unlink(name, directory):
                    self.tally.leftovers_removed += 1

    def _forget_quota(self) -> None:
        # Maildir++: a program that finds no maildirsize counts afresh. Appending a difference would
        # keep an error that is in it already; a rewritten file would lose a delivery under way.
        if self._act:
            unlink(QUOTA_FILE, self._descriptor)
