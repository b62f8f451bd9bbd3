"""Wanted records against what was found, as findings in words, all at once. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from postern.host.dns.answers import Answer, Kind, View, lineage, questions_of, reference
from postern.host.dns.compare import MISSING, caa_fault, comparison
from postern.host.dns.records import Facts, Need, Record

MAX_NAMED = 4
"""Records that a finding about a whole server names."""


class State(StrEnum):
    """How a record stands."""

    OK = "ok"
    WARNING = "warning"
    """The relay works, but not as well as it could."""
    ERROR = "error"
    UNKNOWN = "unknown"
    """A server cannot be reached from here, which says nothing of the records."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one record, or about one server."""

    subject: str
    """Such as `MX chat.example.org`, or the server."""
    state: State
    text: str = ""
    """The fault and its mend; empty if there is none."""
    publish: str = ""
    """The value that the record has to have, where it has another or is missing."""


def check(
    domain: str, facts: Facts, records: Sequence[Record], views: Sequence[View]
) -> list[Finding]:
    """Every record of `records`, then what should not be there, then servers that differ."""
    best = reference(views)
    if best is None:
        reasons = {answer.failure for view in views for answer in view.answers.values()}
        text = f"No name server answers: {'; '.join(sorted(reasons)) or 'none is known'}."
        return [Finding(domain, State.ERROR, text)]
    alias = best.answer((domain, "A")).alias
    if alias:
        records = [record for record in records if record.name != domain]
    findings = [_finding(group, best, facts) for group in _grouped(records)]
    if alias:
        findings.insert(0, Finding(domain, State.ERROR, _alias_text(alias)))
    else:
        findings += _leftovers(domain, facts, records, best)
    for view in views:
        if view is not best:
            findings += _differences(view, best, records)
    return findings


def _alias_text(alias: str) -> str:
    return (
        f"It is a CNAME for {alias}. Such a name can have no other record (RFC 1034, 3.6.2), so "
        "neither MX nor TXT count: delete the CNAME, and publish the addresses as A and AAAA."
    )


def _grouped(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Records that one answer holds, such as two A."""
    for _, group in groupby(records, key=lambda record: (record.name, record.type)):
        yield list(group)


def _finding(group: list[Record], view: View, facts: Facts) -> Finding:
    record = group[0]
    subject = f"{record.type} {record.name}"
    milder = State.ERROR if record.need is Need.REQUIRED else State.WARNING
    answers = [view.answer(question) for question in questions_of(record)]
    failures = [answer.failure for answer in answers if answer.failure]
    if failures:
        return Finding(subject, milder, f"{view.server} does not answer it: {failures[0]}.")
    fault = comparison(record)(group, _together(answers), facts)
    if fault is None:
        return Finding(subject, State.OK)
    state = State.ERROR if fault.harmful else milder
    text = f"Missing: without it {record.purpose}." if fault is MISSING else fault.text
    return Finding(subject, state, text, ", ".join(each.value for each in group))


def _together(answers: Sequence[Answer]) -> Answer:
    """The addresses of both families in one answer."""
    values = tuple(value for answer in answers for value in answer.values)
    return Answer(values, alias=next((answer.alias for answer in answers if answer.alias), ""))


def _leftovers(
    domain: str, facts: Facts, records: Sequence[Record], view: View
) -> Iterator[Finding]:
    """What harms by being there, though no record of its kind is wanted."""
    kinds = {record.type for record in records if record.name == domain}
    if not facts.addresses and not any(
        view.answer((domain, each)).values for each in ("A", "AAAA")
    ):
        yield Finding(f"A {domain}", State.ERROR, "Missing: without it nobody reaches this host.")
    for version, kind in ((4, "A"), (6, "AAAA")):
        found = view.answer((domain, kind)).values
        if found and facts.addresses and kind not in kinds:
            text = (
                f"It names {', '.join(found)}, but this host has no IPv{version} address: clients "
                "and servers that try it wait in vain. Delete it."
            )
            yield Finding(f"{kind} {domain}", State.ERROR, text)
    names = lineage(domain) if facts.acme_issuer else []
    holder = next((name for name in names if view.answer((name, "CAA")).values), domain)
    if names and ("CAA" not in kinds or holder != domain):
        fault = caa_fault(view.answer((holder, "CAA")), facts)
        if fault is not None and fault.harmful:
            yield Finding(f"CAA {holder}", State.ERROR, fault.text)


def _differences(view: View, best: View, records: Sequence[Record]) -> Iterator[Finding]:
    """What this server answers otherwise than the one that knows best."""
    if view.silent:
        reasons = sorted({answer.failure for answer in view.answers.values()})
        reachable = not all(answer.unreachable for answer in view.answers.values())
        state = State.WARNING if reachable else State.UNKNOWN
        yield Finding(view.server, state, f"It does not answer: {'; '.join(reasons)}.")
        return
    differing: dict[str, Answer] = {}
    needs: set[Need] = set()
    for record in records:
        for question in questions_of(record):
            here, there = view.answer(question), best.answer(question)
            if not there.failure and _content(here) != _content(there):
                differing[f"{record.type} {record.name}"] = here
                needs.add(record.need)
    if differing:
        yield _difference(view, best, differing, needs)


def _content(answer: Answer) -> tuple[frozenset[str], str, str]:
    # The addresses behind a CNAME may be missing where the server does not have that zone.
    values = frozenset() if answer.alias else frozenset(answer.values)
    return values, answer.alias, answer.failure


def _difference(view: View, best: View, differing: dict[str, Answer], needs: set[Need]) -> Finding:
    names = list(differing)
    listed = ", ".join(names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        listed += f" and {len(names) - MAX_NAMED} more"
    failures = {answer.failure for answer in differing.values() if answer.failure}
    if failures:
        text = f"It does not answer for {listed}: {'; '.join(sorted(failures))}."
        return Finding(view.server, State.WARNING, text)
    if view.kind is Kind.RESOLVER:
        left = max(answer.ttl for answer in differing.values())
        text = f"It differs from {best.server} in {listed}: still cached there for {left} s."
        return Finding(view.server, State.WARNING, text)
    text = (
        f"It differs from {best.server} in {listed}: the zone has not reached this server yet, or "
        "your provider's servers are out of step."
    )
    state = State.ERROR if Need.REQUIRED in needs else State.WARNING
    return Finding(view.server, state, text)
