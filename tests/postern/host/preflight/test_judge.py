"""Each check, where it is content and where it is not, with its words."""

from dataclasses import fields, replace
from ipaddress import ip_address
from typing import Any

import pytest

from postern.host.dns.answers import Answer, Kind
from postern.host.preflight.facts import ClockReading, Disk, Facts, Listener, Listing, Outgoing
from postern.host.preflight.findings import Finding, Outcome, in_words, stops
from postern.host.preflight.judge import CHECKS, UnknownCheck, judge
from tests.postern.host.preflight.hosts import DOMAIN, GOOD, IPV4, IPV6, MB, view

OK, WARNING, ERROR, SKIPPED = Outcome


def finding(check: str, **changes: Any) -> Finding:
    """What one check finds on a host that is right but for these changes."""
    return CHECKS[check](replace(GOOD, **changes))


def test_a_host_that_has_everything_right() -> None:
    found = judge(GOOD)
    assert [each.check for each in found] == list(CHECKS)
    assert {each.outcome for each in found} == {OK}
    for each in found:
        line = in_words(each)
        assert line.startswith(f"{each.check}: ")
        assert line.endswith(" OK")
        assert "\n" not in line
    assert not stops(found)


def changed_system(**changes: Any) -> dict[str, Any]:
    return {"system": replace(GOOD.system, **changes)}


def seen(*addresses: str, **others: Any) -> dict[str, Any]:
    return {"views": (view(*addresses, **others),)}


def taken(port: int, process: str) -> Listener:
    return Listener(port, "0.0.0.0", process)


def listed(code: str, block_list: str = "list.example") -> Listing:
    return Listing(block_list, IPV4, Answer((code,)))


SILENT = Listing("other.example", IPV4, Answer(failure="no answer", unreachable=True))
BAD: list[tuple[str, dict[str, Any], Outcome, str, str]] = [
    # check, what is otherwise, outcome, what the line says, what the paragraph says
    ("release", changed_system(version="11", name="Debian 11"), ERROR, "Debian 11", "12 or 13"),
    ("release", changed_system(id="ubuntu", name="Ubuntu"), ERROR, "Ubuntu", "Install Debian 13"),
    ("release", changed_system(architecture="armv7l"), ERROR, "armv7l", "compile"),
    ("release", changed_system(has_systemd=False), ERROR, "without systemd", "containers"),
    ("memory", {"memory": 300 * MB}, ERROR, "300 MB", "512 MB or more"),
    (
        "disk",
        {"disks": (Disk("/", 9000 * MB), Disk("/var", 5 * MB))},
        ERROR,
        "5 MB free at /var",
        "",
    ),
    ("disk", {"disks": (Disk("/", 2000 * MB),)}, WARNING, "2,000 MB free at /", "larger disk"),
    ("clock", {"clocks": ()}, SKIPPED, "not compared", "No server could be reached"),
    ("clock", {"clocks": (ClockReading("a", 4000),)}, ERROR, "4,000 s ahead of a", "set-ntp"),
    ("clock", {"clocks": (ClockReading("a", -301),)}, ERROR, "301 s behind a", "Certificates"),
    ("clock", {"clocks": (ClockReading("a", -40),)}, WARNING, "40 s behind a", "set-ntp"),
    (
        "ports",
        {"listeners": (taken(80, "apache2"),)},
        ERROR,
        "80 is taken by apache2",
        "80 for HTTP",
    ),
    ("ports", {"listeners": (taken(25, "exim4"),)}, ERROR, "25 is taken by exim4", "25 for SMTP"),
    ("ports", {"listeners": (taken(443, ""),)}, ERROR, "a process that cannot be seen", "443"),
    ("ports", {"listeners": (taken(25, "master"),)}, ERROR, "25 is taken by master", ""),
    (
        "ports",
        {"installed": True, "listeners": (taken(25, "master"), taken(80, "caddy"))},
        ERROR,
        "80 is taken by caddy",
        "80 for HTTP",
    ),
    ("mail-system", {"mail_systems": ("exim", "mox")}, ERROR, "exim, mox", "apt purge"),
    (
        "host-name",
        {"names": {"vm": ("127.0.1.1",), DOMAIN: ("127.0.1.1",)}},
        WARNING,
        f"/etc/hosts says that {DOMAIN} is 127.0.1.1",
        "prove nothing",
    ),
    ("host-name", {"names": {}}, WARNING, "vm is not in /etc/hosts", "127.0.1.1 vm"),
    ("addresses", seen(), ERROR, f"{DOMAIN} is nowhere", f"A {DOMAIN}: Missing."),
    ("addresses", seen("192.0.2.9", str(IPV6)), ERROR, "is 192.0.2.9, 2001:db8::1", "192.0.2.1"),
    ("addresses", seen(str(IPV4), "2001:db8::9"), ERROR, "2001:db8::9", "names 2001:db8::9"),
    (
        "addresses",
        {"local": (IPV4,), **seen(str(IPV4), str(IPV6))},
        ERROR,
        "2001:db8::1",
        "this host has no IPv6 address",
    ),
    ("addresses", seen("192.0.2.1", alias="x.example"), ERROR, "192.0.2.1", "CNAME for x.example"),
    ("addresses", seen(failure="no answer"), SKIPPED, "not looked up", "No name server answers"),
    (
        "addresses",
        {"local": (), **seen("192.0.2.9")},
        WARNING,
        "192.0.2.9",
        "only private addresses",
    ),
    (
        "addresses",
        {"views": (*GOOD.views[:1], view("192.0.2.8", server="9.9.9.9", kind=Kind.RESOLVER))},
        WARNING,
        "192.0.2.1",
        "9.9.9.9: It differs from ns1.example.org",
    ),
    ("addresses", {"domain": "[192.0.2.5]"}, ERROR, "the domain is 192.0.2.5", "Mend mail_domain"),
    (
        "reverse-name",
        {"reverse": {IPV4: Answer()}},
        WARNING,
        "192.0.2.1 is nobody",
        "where you rent the host",
    ),
    (
        "reverse-name",
        {"reverse": {IPV4: Answer((f"{DOMAIN}.",)), IPV6: Answer(("static.isp.example.",))}},
        WARNING,
        "2001:db8::1 is static.isp.example",
        f"(PTR) to {DOMAIN}",
    ),
    ("reverse-name", {"reverse": {}}, SKIPPED, "no public address", ""),
    (
        "reverse-name",
        {"reverse": {IPV4: Answer(failure="late")}},
        SKIPPED,
        "192.0.2.1 could not be looked up",
        "",
    ),
    ("ipv6", {"ipv6_failure": "no route"}, ERROR, "no route", "Delete the record"),
    ("ipv6", {"ipv6_failure": None}, ERROR, "no public IPv6 address", "AAAA record (2001:db8::1)"),
    (
        "ipv6",
        {"ipv6_failure": "no route", **seen(str(IPV4))},
        WARNING,
        "no route",
        "disable_ipv6 = true",
    ),
    (
        "port-25",
        {"outgoing": (Outgoing("mx.example.net", "no answer within 5 s"),)},
        ERROR,
        "mx.example.net: no answer within 5 s",
        "Ask the provider",
    ),
    (
        "port-25",
        {"outgoing": (Outgoing("mx", "unknown", tried=False),)},
        SKIPPED,
        "mx: unknown",
        "",
    ),
    ("port-25", {"outgoing": ()}, SKIPPED, "no server to try", ""),
    (
        "block-lists",
        {"listings": (listed("127.0.0.2"), SILENT)},
        WARNING,
        "192.0.2.1 is on list.example (127.0.0.2) (other.example cannot be asked from here)",
        "refuse mail from here",
    ),
    ("block-lists", {"listings": (SILENT,)}, SKIPPED, "other.example cannot be asked", ""),
    (
        "block-lists",
        {"listings": (listed("127.255.255.254", "zen.example"),)},
        SKIPPED,
        "zen.example cannot be asked from here",
        "",
    ),
    ("block-lists", {"listings": ()}, SKIPPED, "nothing to ask", ""),
]


@pytest.mark.parametrize(("check", "changes", "outcome", "said", "words"), BAD)
def test_a_check_that_is_not_content(
    check: str, changes: dict[str, Any], outcome: Outcome, said: str, words: str
) -> None:
    found = finding(check, **changes)
    assert (found.check, found.outcome) == (check, outcome)
    assert said in found.said
    assert words in found.text
    assert (found.text != "") or outcome is SKIPPED
    assert stops([found]) == (outcome is ERROR)
    shown = in_words(found)
    assert shown.splitlines()[0].endswith(outcome.upper())
    assert max(len(line) for line in shown.splitlines()[1:] or [""]) <= 79
    assert (f"--skip {check}" in " ".join(shown.split())) == (outcome is ERROR)


def test_every_check_can_fail() -> None:
    assert {check for check, *_ in BAD} == set(CHECKS)


FINE: list[tuple[str, dict[str, Any], str]] = [
    ("release", changed_system(version="12", architecture="aarch64"), "aarch64"),
    ("memory", {"memory": 400 * MB}, "400 MB"),
    ("clock", {"clocks": (ClockReading("a", 9999), ClockReading("b", -1))}, "as at b"),
    ("ports", {"listeners": (taken(22, "sshd"), taken(10025, "master"))}, "25, 80"),
    (
        "ports",
        {"installed": True, "listeners": (taken(25, "master"), taken(993, "dovecot"))},
        "993",
    ),
    ("host-name", {"host_name": DOMAIN, "names": {}}, DOMAIN),
    ("host-name", {"names": {"vm": ("192.0.2.1",), DOMAIN: ("192.0.2.1",)}}, "vm"),
    ("addresses", seen(str(IPV4)), "192.0.2.1"),
    (
        "addresses",
        {"others": (ip_address("192.0.2.9"),), **seen("192.0.2.9", str(IPV6))},
        "192.0.2.9",
    ),
    ("addresses", {"domain": "[192.0.2.1]", "views": ()}, "without DNS"),
    ("addresses", {"domain": "[ipv6:2001:db8::1]", "views": ()}, "2001:db8::1"),
    ("ipv6", {"ipv6_failure": None, **seen(str(IPV4))}, "none here, and none published"),
    (
        "port-25",
        {"outgoing": (Outgoing("a", "no answer"), Outgoing("b", ""))},
        "b answers",
    ),
    ("block-lists", {"listings": (*GOOD.listings, SILENT)}, "other.example cannot be asked"),
    ("reverse-name", {"reverse": {IPV4: Answer((f"{DOMAIN}.", "also.example."))}}, DOMAIN),
]


@pytest.mark.parametrize(("check", "changes", "said"), FINE)
def test_a_check_that_is_content(check: str, changes: dict[str, Any], said: str) -> None:
    found = finding(check, **changes)
    assert found.outcome is OK
    assert said in found.said


def test_everything_wrong_is_said_at_once() -> None:
    """The checks do not depend on each other."""
    worst = replace(
        GOOD,
        **changed_system(id="ubuntu"),
        memory=1,
        disks=(Disk("/", 0),),
        clocks=(ClockReading("a", 1e6),),
        listeners=(taken(25, "exim4"),),
        names={},
        local=(ip_address("192.0.2.7"),),
        reverse={IPV4: Answer()},
        outgoing=(Outgoing("mx", "late"),),
        ipv6_failure="late",
        listings=(listed("127.0.0.2"),),
        mail_systems=("exim",),
    )
    found = judge(worst)
    assert {each.check for each in found if each.outcome in (WARNING, ERROR)} == set(CHECKS)
    assert stops(found)


def test_a_check_that_is_skipped_stops_nothing() -> None:
    blocked = replace(GOOD, outgoing=(Outgoing("mx", "late"),))
    assert stops(judge(blocked))
    found = judge(blocked, {"port-25"})
    assert not stops(found)
    assert {each.check for each in found if each.outcome is SKIPPED} == {"port-25"}
    assert "SKIPPED" in in_words(next(each for each in found if each.check == "port-25"))


def test_what_cannot_be_skipped() -> None:
    with pytest.raises(UnknownCheck, match="there is no check nothing; there are release, memory"):
        judge(GOOD, {"nothing"})


def test_every_fact_is_judged() -> None:
    """Each fact, spoilt, changes what some check finds."""
    spoilt: dict[str, Any] = {
        "domain": "other.example",
        "installed": True,
        "system": replace(GOOD.system, id="x"),
        "memory": 1,
        "disks": (Disk("/", 1),),
        "clocks": (),
        "listeners": (taken(80, "x"),),
        "host_name": "x",
        "names": {},
        "local": (),
        "others": (ip_address("192.0.2.9"),),
        "views": (),
        "reverse": {},
        "outgoing": (),
        "ipv6_failure": "x",
        "listings": (),
        "mail_systems": ("x",),
    }
    assert set(spoilt) == {each.name for each in fields(Facts)}
    elsewhere = (view("192.0.2.9", str(IPV6)),)
    facts = replace(GOOD, listeners=(taken(25, "master"),), views=elsewhere)
    for name, value in spoilt.items():
        assert judge(replace(facts, **{name: value})) != judge(facts), name
