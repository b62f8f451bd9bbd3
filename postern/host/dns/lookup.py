"""Asks name servers: those that have the zone, and public resolvers that keep answers."""

import asyncio
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import dns.rdtypes.txtbase
import dns.rrset

from postern.host.dns.answers import Answer, Kind, Question, View

RESOLVERS = ("9.9.9.9", "1.1.1.1", "8.8.8.8")
"""Public ones of three providers: what the world sees."""
MAX_ALIASES = 8
"""CNAMEs in a row that are followed within one answer."""
_FAILURES = {
    dns.rcode.SERVFAIL: "the answer is SERVFAIL; often DNSSEC is broken, or the name servers of "
    "the zone do not answer",
    dns.rcode.REFUSED: "the answer is REFUSED; this server does not have the zone",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Whom to ask, and how long to wait."""

    resolvers: tuple[str, ...] = RESOLVERS
    primaries: tuple[str, ...] = ()
    """Servers that have the zone first, by address or name; perhaps not in any NS record."""
    port: int = 53
    timeout: float = 4.0
    """Seconds for one question; asked twice."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone, and the servers that have it by their NS records."""

    apex: str
    servers: tuple[str, ...]
    """Names without the last dot."""


class Unreachable(Exception):
    """No resolver answers, so the zone cannot be found; the message says why."""


async def look(domain: str, questions: Sequence[Question], options: Options) -> list[View]:
    """The answers of each primary, each authoritative server and each resolver.

    A server that does not answer has a View full of failures.
    """
    servers = [(name, Kind.PRIMARY) for name in options.primaries]
    try:
        zone = await find_zone(domain, options)
    except Unreachable:
        zone = None  # the silent resolvers say so themselves
    if zone is not None:
        servers += [(name, Kind.AUTHORITATIVE) for name in zone.servers]
    servers += [(name, Kind.RESOLVER) for name in options.resolvers]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_view(server, kind, questions, options)) for server, kind in servers
        ]
    return [task.result() for task in tasks]


async def find_zone(domain: str, options: Options) -> Zone | None:
    """The zone that a domain is in; None where no parent has one. Raises Unreachable."""
    labels = domain.split(".")
    for at in range(len(labels) - 1):  # a top-level domain is nobody's zone here
        name = ".".join(labels[at:])
        answer = await resolve((name, "NS"), options)
        if answer.values and not answer.alias:
            return Zone(name, tuple(sorted(value.rstrip(".").lower() for value in answer.values)))
    return None


async def resolve(question: Question, options: Options) -> Answer:
    """The answer of the first resolver that has one, all asked at once; raises Unreachable."""
    asked = options.resolvers
    answers = await asyncio.gather(*(ask(each, question, options, recurse=True) for each in asked))
    for answer in answers:
        if not answer.failure:
            return answer
    failures = (f"{each}: {answer.failure}" for each, answer in zip(asked, answers, strict=True))
    raise Unreachable("; ".join(failures) or "no resolver is named")


async def addresses_of(name: str, options: Options) -> list[str]:
    """The addresses of a host, IPv4 first; an address is its own. Raises Unreachable."""
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        found = [await resolve((name, kind), options) for kind in ("A", "AAAA")]
        return [value for answer in found for value in answer.values]


async def _view(server: str, kind: Kind, questions: Sequence[Question], options: Options) -> View:
    try:
        addresses = await addresses_of(server, options)
    except Unreachable as error:
        addresses, why = [], f"its address cannot be looked up ({error})"
    else:
        why = "it has no address"
    if not addresses:
        return View(server, kind, dict.fromkeys(questions, Answer(failure=why, unreachable=True)))
    recurse = kind is Kind.RESOLVER
    answers = await asyncio.gather(
        *(_ask_any(addresses, each, options, recurse=recurse) for each in questions)
    )
    return View(server, kind, dict(zip(questions, answers, strict=True)))


async def _ask_any(
    addresses: Iterable[str], question: Question, options: Options, *, recurse: bool
) -> Answer:
    answer = Answer(failure="it has no address")
    for address in addresses:
        answer = await ask(address, question, options, recurse=recurse)
        if not answer.failure:
            break
    return answer


async def ask(address: str, question: Question, options: Options, *, recurse: bool) -> Answer:
    """The answer of one server, over TCP where it does not fit; never raises."""
    name, kind = dns.name.from_text(question[0]), dns.rdatatype.from_text(question[1])
    query = dns.message.make_query(name, kind, use_edns=0, payload=1232)
    if not recurse:
        query.flags &= ~dns.flags.RD
    for _attempt in range(2):
        try:
            response, _ = await dns.asyncquery.udp_with_fallback(
                query, address, timeout=options.timeout, port=options.port
            )
            return _read(response, name, kind)
        except dns.exception.Timeout:
            failure = f"no answer within {options.timeout:g} s"
        except (OSError, dns.exception.DNSException) as error:
            failure = str(error) or type(error).__name__
    return Answer(failure=failure, unreachable=True)


def _read(
    response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> Answer:
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        text = dns.rcode.to_text(code)
        return Answer(failure=_FAILURES.get(code, f"the answer is {text}"))
    alias, here = "", name
    for _ in range(MAX_ALIASES):
        found = response.get_rrset(response.answer, here, response.question[0].rdclass, kind)
        if found is not None:
            values = tuple(sorted(_value(rdata) for rdata in found))
            return Answer(values, found.ttl, alias)
        link = response.get_rrset(
            response.answer, here, response.question[0].rdclass, dns.rdatatype.CNAME
        )
        if link is None:
            break
        here = link[0].target
        alias = alias or here.to_text(omit_final_dot=True).lower()
    return Answer((), _negative_ttl(response.authority), alias)


def _negative_ttl(authority: Iterable[dns.rrset.RRset]) -> int:
    """How long the absence of records may be kept, in seconds (RFC 2308, 5)."""
    for found in authority:
        if isinstance(found[0], dns.rdtypes.ANY.SOA.SOA):
            return int(min(found.ttl, found[0].minimum))
    return 0


def _value(rdata: object) -> str:
    if isinstance(rdata, dns.rdtypes.txtbase.TXTBase):
        return b"".join(rdata.strings).decode("utf-8", "replace")
    return str(rdata)
