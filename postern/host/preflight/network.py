"""Checks of what the world sees of the host. Pure."""

import ipaddress
from collections.abc import Iterable

from postern.host.dns.answers import reference
from postern.host.dns.check import State, check
from postern.host.dns.records import Facts as DnsFacts
from postern.host.dns.records import Need, Record, has_no_dns
from postern.host.preflight.facts import Facts, IPAddress, Listing
from postern.host.preflight.findings import Finding, Outcome

REFUSED_CODES = ipaddress.ip_network("127.255.255.0/24")
"""What a block list answers that does not want to be asked this way."""


def literal_address(domain: str) -> IPAddress | None:
    """The address of a domain that is an address literal."""
    if not has_no_dns(domain):
        return None
    return ipaddress.ip_address(domain[1:-1].removeprefix("ipv6:"))


def host_name(facts: Facts) -> Finding:
    """A host name that resolves, and a domain that /etc/hosts does not point at the host itself."""
    looped = [
        address
        for address in facts.names.get(facts.domain, ())
        if ipaddress.ip_address(address).is_loopback
    ]
    if looped:
        text = (
            f"Debian's installer writes such a line. Programs on this host then take {looped[0]} "
            f"for {facts.domain}, and not the address that the world sees, so that tests from here "
            f"prove nothing. Remove {facts.domain} from the line of {looped[0]} in /etc/hosts."
        )
        said = f"/etc/hosts says that {facts.domain} is {looped[0]}"
        return Finding("host-name", Outcome.WARNING, said, text)
    if facts.host_name not in facts.names:
        text = (
            "Programs that look the host's own name up, such as sudo, wait or complain. Add the "
            f"line 127.0.1.1 {facts.host_name} to /etc/hosts."
        )
        said = f"{facts.host_name} is not in /etc/hosts"
        if facts.host_name == facts.domain:
            return Finding("host-name", Outcome.OK, facts.host_name)
        return Finding("host-name", Outcome.WARNING, said, text)
    return Finding("host-name", Outcome.OK, facts.host_name)


def addresses(facts: Facts) -> Finding:
    """A and AAAA records that name this host, in every server's answer."""
    literal = literal_address(facts.domain)
    if literal is not None:
        return _literal(facts, literal)
    best = reference(facts.views)
    if best is None:
        text = "No name server answers, neither the domain's own nor a public resolver."
        return Finding("addresses", Outcome.SKIPPED, "not looked up", text)
    found = [value for kind in ("A", "AAAA") for value in best.answer((facts.domain, kind)).values]
    said = f"{facts.domain} is {', '.join(found) or 'nowhere'}"
    wanted = [
        Record(facts.domain, "A" if each.version == 4 else "AAAA", str(each), Need.REQUIRED, "")
        for each in sorted(facts.local, key=lambda each: each.version)
    ]
    known = DnsFacts(addresses=facts.local, others=facts.others, acme_issuer="")
    wrong = [
        each
        for each in check(facts.domain, known, wanted, facts.views)
        if each.state is not State.OK and not _only_ipv6_is_missing(each.subject, each.text, found)
    ]
    if not wrong:
        return _known(facts, said)
    outcome = Outcome.WARNING
    if any(each.state is State.ERROR for each in wrong):
        outcome = Outcome.ERROR
    own = ", ".join(map(str, facts.local)) or "not known"
    text = (
        " ".join(f"{each.subject}: {_short(each.text)}" for each in wrong)
        + f" This host's own address is {own}. Clients and other servers go where these records "
        "point, and no certificate is issued while that is another host. Mend them where the "
        "zone is kept; `postern dns --watch` waits for them."
    )
    return Finding("addresses", outcome, said, text)


def _only_ipv6_is_missing(subject: str, text: str, found: list[str]) -> bool:
    """An IPv6 address that is not published does no harm beside IPv4."""
    return bool(found) and subject.startswith("AAAA ") and text.startswith("Missing")


def _short(text: str) -> str:
    return "Missing." if text.startswith("Missing") else text


def _known(facts: Facts, said: str) -> Finding:
    if facts.local:
        return Finding("addresses", Outcome.OK, said)
    text = (
        "This host knows only private addresses of its own (NAT), so nothing can be compared. If "
        "the records do not lead here, no certificate is issued. Name the public address: "
        "--address."
    )
    return Finding("addresses", Outcome.WARNING, said, text)


def _literal(facts: Facts, literal: IPAddress) -> Finding:
    if literal in (*facts.local, *facts.others) or not facts.local:
        return Finding("addresses", Outcome.OK, f"{literal}, without DNS")
    own = ", ".join(map(str, facts.local))
    text = f"This host's address is {own}: clients would go to another one. Mend mail_domain."
    return Finding("addresses", Outcome.ERROR, f"the domain is {literal}", text)


def reverse_name(facts: Facts) -> Finding:
    """A PTR record for each address, with the relay's name."""
    check = "reverse-name"
    if not facts.reverse or has_no_dns(facts.domain):
        return Finding(check, Outcome.SKIPPED, "no public address to look up")
    failed = [str(each) for each, answer in facts.reverse.items() if answer.failure]
    if len(failed) == len(facts.reverse):
        return Finding(check, Outcome.SKIPPED, f"{', '.join(failed)} could not be looked up")
    wrong = {
        str(address): [value.rstrip(".") for value in answer.values]
        for address, answer in facts.reverse.items()
        if not answer.failure and f"{facts.domain}." not in answer.values
    }
    if not wrong:
        return Finding(check, Outcome.OK, facts.domain)
    said = ", ".join(f"{each} is {', '.join(names) or 'nobody'}" for each, names in wrong.items())
    text = (
        "Large mail providers refuse mail from an address without a name that leads back to it, "
        f"and distrust one with another name. Set the reverse name (PTR) to {facts.domain} where "
        "you rent the host, in its panel: it is not in your own zone."
    )
    return Finding(check, Outcome.WARNING, said, text)


def outgoing(facts: Facts) -> Finding:
    """A way out on port 25."""
    reached = [each.server for each in facts.outgoing if not each.failure]
    if reached:
        return Finding("port-25", Outcome.OK, f"{reached[0]} answers")
    said = "; ".join(f"{each.server}: {each.failure}" for each in facts.outgoing)
    if not any(each.tried for each in facts.outgoing):
        return Finding("port-25", Outcome.SKIPPED, said or "no server to try is named")
    text = (
        "Other mail servers are reached on port 25 only, and no other port will do. Many providers "
        "block it until they are asked: users could write to each other, and to nobody else. Ask "
        "the provider to open outgoing port 25, or rent where it is open."
    )
    return Finding("port-25", Outcome.ERROR, said, text)


def ipv6(facts: Facts) -> Finding:
    """IPv6 that works, or none."""
    best = reference(facts.views)
    published = best.answer((facts.domain, "AAAA")).values if best else ()
    if facts.ipv6_failure == "":
        return Finding("ipv6", Outcome.OK, "works")
    if facts.ipv6_failure is None and not published:
        return Finding("ipv6", Outcome.OK, "none here, and none published")
    why = facts.ipv6_failure or "this host has no public IPv6 address"
    if published:
        text = (
            f"The AAAA record ({', '.join(published)}) sends clients and servers to an address "
            "that does not answer; those that try it first wait for a minute or give up. Delete "
            "the record, or have the provider set up IPv6."
        )
        return Finding("ipv6", Outcome.ERROR, why, text)
    text = (
        "The host has an IPv6 address, and nothing can be reached with it. Mail to servers with "
        "IPv6 is late, because that way is tried first. Set disable_ipv6 = true in chatmail.ini, "
        "or have the provider mend it."
    )
    return Finding("ipv6", Outcome.WARNING, why, text)


def block_lists(facts: Facts) -> Finding:
    """No block list with one of the host's addresses."""
    check = "block-lists"
    answered = [each for each in facts.listings if not _no_answer(each)]
    silent = sorted({each.block_list for each in facts.listings if _no_answer(each)})
    unasked = f" ({', '.join(silent)} cannot be asked from here)" if silent else ""
    if not answered:
        return Finding(check, Outcome.SKIPPED, "nothing to ask" + unasked)
    listed = [each for each in answered if each.answer.values]
    if not listed:
        names = _joined(each.block_list for each in answered)
        return Finding(check, Outcome.OK, f"not on {names}{unasked}")
    said = "; ".join(
        f"{each.address} is on {each.block_list} ({', '.join(each.answer.values)})"
        for each in listed
    )
    text = (
        "Servers that use the list refuse mail from here. Addresses of rented hosts often are on "
        "one for what was done with them before. Look the address up on the list's web site and "
        "ask to have it removed, or ask the provider for another one."
    )
    return Finding(check, Outcome.WARNING, said + unasked, text)


def _no_answer(listing: Listing) -> bool:
    """Whether a list did not answer, or only that it does not answer such questions."""
    return bool(listing.answer.failure) or any(
        ipaddress.ip_address(value) in REFUSED_CODES for value in listing.answer.values
    )


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
