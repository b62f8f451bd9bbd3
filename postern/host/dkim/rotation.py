"""Which key signs, which comes next, and how long the record of an old one is needed. Pure.

A key goes one way: it is made, its record is published, it signs once every name server shows the
record, and its record stays for `GRACE_SECONDS` after the next one has taken over.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from postern.host.dns.answers import Answer, Kind, View, questions_of
from postern.host.dns.compare import comparison
from postern.host.dns.records import DkimKey, Facts, Need, Record, wanted

QUEUE_DAYS = 5
"""How long mail may wait in a queue, ours or another relay's (`maximal_queue_lifetime`)."""
MARGIN_DAYS = 2
"""For a receiver that verifies later than at delivery."""
GRACE_SECONDS = (QUEUE_DAYS + MARGIN_DAYS) * 86400
_LETTERS = "bcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a relay, by their selectors."""

    signing: str
    """Signs now."""
    since: int
    """When it began to, in seconds since the epoch."""
    following: str = ""
    """Signs next; empty if none is made."""
    retired: tuple[str, ...] = ()
    """Have signed; the latest last."""

    @property
    def needed_until(self) -> int:
        """When the records of the retired keys can go, in seconds since the epoch."""
        return self.since + GRACE_SECONDS

    def published(self, now: int) -> dict[str, Need]:
        """The selectors that belong into DNS at this time, and how badly."""
        needs = dict.fromkeys(self.retired if now < self.needed_until else (), Need.RECOMMENDED)
        needs[self.signing] = Need.REQUIRED
        if self.following:
            needs[self.following] = Need.RECOMMENDED
        return needs


def selector_of(day: date, taken: Collection[str]) -> str:
    """A selector that says when its key was made: 20261125, then 20261125b; raises ValueError."""
    plain = f"{day:%Y%m%d}"
    for selector in (plain, *(plain + letter for letter in _LETTERS)):
        if selector not in taken:
            return selector
    raise ValueError(f"all selectors of {day} are taken")


def record_of(domain: str, key: DkimKey) -> Record:
    """The record of one key."""
    name = f"{key.selector}._domainkey.{domain}"
    return next(each for each in wanted(domain, Facts(dkim=(key,))) if each.name == name)


def obstacles(record: Record, views: Iterable[View]) -> list[str]:
    """Why a key must not sign yet: each server that answers without its record, in words.

    A server that cannot be reached from here says nothing of what others see, so it is left out.
    """
    (question,) = questions_of(record)
    answers = [(view, view.answer(question)) for view in views]
    answers = [(view, answer) for view, answer in answers if not answer.unreachable]
    if not answers:
        return ["no name server answers"]
    faults = ((view.server, _obstacle(record, view.kind, answer)) for view, answer in answers)
    return [f"{server}: {text}" for server, text in faults if text]


def _obstacle(record: Record, kind: Kind, answer: Answer) -> str:
    if answer.failure:
        return answer.failure
    fault = comparison(record)([record], answer, Facts())
    if fault is None:
        return ""
    text = fault.text if answer.values else "the record is missing"
    if kind is Kind.RESOLVER and answer.ttl:
        text = f"{text.rstrip('.')} (cached for {answer.ttl} s)"
    return text
