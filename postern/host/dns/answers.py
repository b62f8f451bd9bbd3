"""What name servers answered, as far as the comparison needs it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from postern.host.dns.records import Record

Question = tuple[str, str]
"""A name without the last dot, and a type."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question."""

    values: tuple[str, ...] = ()
    """As in a zone file; the strings of a TXT record joined, without quotes."""
    ttl: int = 0
    """Seconds for which a resolver may keep it, the absence of records too (RFC 2308)."""
    alias: str = ""
    """The name that it is a CNAME for."""
    failure: str = ""
    """Why there is no answer, in words."""
    unreachable: bool = False
    """Nothing came back at all, which says more of the way there than of the record."""


class Kind(StrEnum):
    """How a server knows."""

    PRIMARY = "primary"
    """Named by the operator: has the zone before the others do."""
    AUTHORITATIVE = "authoritative"
    RESOLVER = "resolver"
    """Asks the authoritative servers, and keeps their answers."""


@dataclass(frozen=True, slots=True)
class View:
    """The answers of one server."""

    server: str
    kind: Kind
    answers: Mapping[Question, Answer]

    def answer(self, question: Question) -> Answer:
        """The answer to one question."""
        return self.answers.get(question, Answer(failure="was not asked"))

    @property
    def silent(self) -> bool:
        """Whether it has answered nothing at all."""
        return all(answer.failure for answer in self.answers.values())


def questions_of(record: Record) -> list[Question]:
    """Where a record is looked up. A CNAME shows in the addresses, which may also stand alone."""
    if record.type == "CNAME":
        return [(record.name, "A"), (record.name, "AAAA")]
    return [(record.name, record.type)]


def questions(domain: str, records: Iterable[Record]) -> list[Question]:
    """All that has to be asked to judge these records, without repetition."""
    asked = [question for record in records for question in questions_of(record)]
    asked += [(domain, "A"), (domain, "AAAA"), *((name, "CAA") for name in lineage(domain))]
    return list(dict.fromkeys(asked))


def lineage(domain: str) -> list[str]:
    """The domain and its parents but the last: where a CAA record counts (RFC 8659, 3)."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(max(1, len(labels) - 1))]


def reference(views: Iterable[View]) -> View | None:
    """The server that knows best: a primary, then an authoritative one; None if all are silent."""
    order = list(Kind)
    answering = [view for view in views if not view.silent]
    return min(answering, key=lambda view: order.index(view.kind), default=None)
