"""Each fault of a zone, seen by a lookup of real servers, and the words for it."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import dns.rcode
import pytest

from postern.host.dns.answers import Kind, lineage, questions
from postern.host.dns.check import Finding, State, check
from postern.host.dns.lookup import Options, look
from postern.host.dns.records import Facts, wanted
from tests.postern.host.dns.zones import (
    ACCOUNT,
    DOMAIN,
    FACTS,
    HEAD,
    KEY,
    NS1,
    NS2,
    PRIMARY,
    RESOLVER,
    World,
    world,
    zone_text,
)


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def servers(running: World) -> World:
    """All servers with the right zone."""
    running.publish(zone_text())
    for server in running.servers:
        server.silent, server.code = False, None
        server.asked.clear()
    running.resolver.ttl = 1234
    return running


def findings(servers: World, facts: Facts = FACTS, **changes: object) -> list[Finding]:
    options = replace(
        Options(resolvers=(RESOLVER,), port=servers.port, timeout=9),
        **changes,  # type: ignore[arg-type]  # a test's own options
    )
    records = wanted(DOMAIN, facts)
    views = asyncio.run(look(DOMAIN, questions(DOMAIN, records), options))
    return check(DOMAIN, facts, records, views)


def wrong(servers: World, facts: Facts = FACTS, **changes: object) -> dict[str, tuple[State, str]]:
    return {
        each.subject: (each.state, each.text)
        for each in findings(servers, facts, **changes)
        if each.state is not State.OK
    }


def test_all_is_right(servers: World) -> None:
    found = findings(servers)
    assert [each.state for each in found] == [State.OK] * len(wanted(DOMAIN, FACTS))


def test_the_records_of_an_empty_zone_are_all_said_to_be_missing(servers: World) -> None:
    servers.publish(HEAD)
    found = findings(servers)
    assert [each.subject for each in found] == [
        f"{each.type} {each.name}" for each in wanted(DOMAIN, FACTS)
    ]
    assert all(each.text.startswith("Missing: without it ") for each in found)
    assert [each.publish for each in found] == [each.value for each in wanted(DOMAIN, FACTS)]
    assert [each.state for each in found[:5]] == [State.ERROR] * 4 + [State.WARNING]


SPF, DMARC = f"TXT {DOMAIN}", f"TXT _dmarc.{DOMAIN}"
DKIM = f"TXT 20261125._domainkey.{DOMAIN}"
ENDING = KEY[-40:]
FAULTS = [
    # The line of the right zone (its beginning), what is there in its place, subject, state, words.
    (f"{DOMAIN}. 3600 IN A ", "A 192.0.2.99", f"A {DOMAIN}", State.ERROR, "names 192.0.2.99; this"),
    (
        f"{DOMAIN}. 3600 IN A ",
        "A 192.0.2.1|A 192.0.2.2",
        f"A {DOMAIN}",
        State.ERROR,
        "names 192.0.2.2; this host has 192.0.2.1 only",
    ),
    (
        f"{DOMAIN}. 3600 IN MX",
        "MX 10 mx.example.org.",
        f"MX {DOMAIN}",
        State.ERROR,
        "to mx.example",
    ),
    (
        f"{DOMAIN}. 3600 IN MX",
        f"MX 10 {DOMAIN}.|MX 20 old.example.",
        f"MX {DOMAIN}",
        State.ERROR,
        "also goes to old.example: delete",
    ),
    (f"{DOMAIN}. 3600 IN MX", "MX 0 .", f"MX {DOMAIN}", State.ERROR, "Mail goes to nobody"),
    (
        f"{DOMAIN}. 3600 IN TXT",
        'TXT "v=spf1 a ~all"|TXT "v=spf1 mx -all"',
        SPF,
        State.ERROR,
        "2 SPF records",
    ),
    (f"{DOMAIN}. 3600 IN TXT", 'TXT "v=spf1 a"', SPF, State.WARNING, "not end in ~all"),
    (f"{DOMAIN}. 3600 IN TXT", 'TXT "v=spf1 a +all"', SPF, State.WARNING, "lets anybody send"),
    (
        f"{DOMAIN}. 3600 IN TXT",
        'TXT "v=spf1 ip4:192.0.2.1 -all"',
        SPF,
        State.ERROR,
        "does not name this host",
    ),
    (
        f"{DOMAIN}. 3600 IN TXT",
        'TXT "v=spf1 ip4:bad -all"',
        SPF,
        State.ERROR,
        "does not name this host",
    ),
    (f"{DOMAIN}. 3600 IN TXT", 'TXT "else"', SPF, State.WARNING, "Missing"),
    ("_dmarc", 'TXT "v=DMARC1; p=none"', DMARC, State.WARNING, "p=none lets forged"),
    ("_dmarc", 'TXT "v=DMARC1; p=reject"', DMARC, State.WARNING, "adkim=s and aspf=s"),
    ("_dmarc", 'TXT "v=DMARC1;p=reject;sp=none"', DMARC, State.WARNING, "sp=none"),
    ("_dmarc", 'TXT "v=DMARC1;p=reject;pct=5"', DMARC, State.WARNING, "pct=5"),
    (
        "_dmarc",
        'TXT "v=DMARC1; p=reject; adkim=s; aspf=s"|TXT "v=DMARC1; p=none"',
        DMARC,
        State.ERROR,
        "2 DMARC records",
    ),
    (
        "20261125",
        f'TXT "v=DKIM1; p={KEY[:99]}x{KEY[100:200]}"',
        DKIM,
        State.ERROR,
        "character 100 ",
    ),
    ("20261125", f'TXT "v=DKIM1; p={KEY[:200]}"', DKIM, State.ERROR, "ends after 200 of 392"),
    (
        "20261125",
        f'TXT "v=DKIM1; p={KEY[:200]}" "{KEY[200:]}abcd"',
        DKIM,
        State.ERROR,
        "After the key's 392 characters there are 4 more",
    ),
    (
        "20261125",
        f'TXT "v=DKIM1; p={KEY[:200]}" "{KEY[200:-40]}{ENDING.swapcase()}"',
        DKIM,
        State.ERROR,
        "Upper and lower case differ from character ",
    ),
    ("20261125", 'TXT "v=DKIM1; p="', DKIM, State.ERROR, "withdrawn"),
    ("20261125", 'TXT "v=DKIM1; k=ed25519; p=abc"', DKIM, State.ERROR, "no DKIM key of RSA"),
    ("20261125", 'TXT "something"', DKIM, State.ERROR, "no DKIM key"),
    (
        "20261125",
        f'TXT "v=DKIM1; t=y; p={KEY[:200]}" "{KEY[200:]}"',
        DKIM,
        State.ERROR,
        "tried out",
    ),
    (
        "20261125",
        f'TXT "v=DKIM1; h=sha1; p={KEY[:200]}" "{KEY[200:]}"',
        DKIM,
        State.ERROR,
        "rsa-sha256",
    ),
    (
        "20261125",
        f'TXT "\\"v=DKIM1; p={KEY[:200]}" "{KEY[200:]}\\""',
        DKIM,
        State.ERROR,
        "Quotes",
    ),
    (
        "20261125",
        f'TXT "v=DKIM1; p={KEY[:200]}" "{KEY[200:]}"|TXT "v=DKIM1; p="',
        DKIM,
        State.ERROR,
        "2 records",
    ),
    (
        "_imaps",
        f"SRV 0 1 143 {DOMAIN}.",
        f"SRV _imaps._tcp.{DOMAIN}",
        State.WARNING,
        f"port and host 143 {DOMAIN}; it has to be 993 {DOMAIN} only",
    ),
    (
        "_mta-sts",
        'TXT "v=STSv1; id=1"',
        f"TXT _mta-sts.{DOMAIN}",
        State.WARNING,
        "It is 'v=STSv1; id=1'",
    ),
    (
        "_smtp",
        'TXT "v=TLSRPTv1; rua=mailto:a@b"|TXT "v=TLSRPTv1; rua=mailto:c@d"',
        f"TXT _smtp._tls.{DOMAIN}",
        State.ERROR,
        "2 records with v=TLSRPTv1",
    ),
    (
        "mta-sts",
        "CNAME www.example.org.",
        f"CNAME mta-sts.{DOMAIN}",
        State.WARNING,
        "a CNAME for www.example.org; it has to be one for chat.example.org",
    ),
    (
        "mta-sts",
        "A 192.0.2.9",
        f"CNAME mta-sts.{DOMAIN}",
        State.WARNING,
        "names 192.0.2.9; it has to be a CNAME",
    ),
    (
        f"{DOMAIN}. 3600 IN CAA",
        'CAA 0 issue "other.example"',
        f"CAA {DOMAIN}",
        State.ERROR,
        "Only other.example may issue",
    ),
    (f"{DOMAIN}. 3600 IN CAA", 'CAA 0 issue ";"', f"CAA {DOMAIN}", State.ERROR, "Only nobody may"),
    (
        f"{DOMAIN}. 3600 IN CAA",
        'CAA 0 issue "letsencrypt.org"',
        f"CAA {DOMAIN}",
        State.WARNING,
        "Every account",
    ),
    (
        f"{DOMAIN}. 3600 IN CAA",
        'CAA 128 issue "letsencrypt.org;accounturi=https://acme.example/acct/8"',
        f"CAA {DOMAIN}",
        State.ERROR,
        "names the ACME account https://acme.example/acct/8, so this host cannot renew",
    ),
]


def changed(line: str, instead: str) -> str:
    """The right zone with other records (`a|b`) in place of those that begin so."""
    kept = [each for each in zone_text().splitlines() if not each.startswith(line)]
    name = next(each for each in zone_text().splitlines() if each.startswith(line)).split()[0]
    return "\n".join([*kept, *(f"{name} 3600 IN {each}" for each in instead.split("|"))]) + "\n"


@pytest.mark.parametrize(("line", "instead", "subject", "state", "words"), FAULTS)
def test_each_fault_alone(
    servers: World, line: str, instead: str, subject: str, state: State, words: str
) -> None:
    servers.publish(changed(line, instead))
    found = wrong(servers)
    assert list(found) == [subject]
    assert found[subject][0] is state
    assert words in found[subject][1]


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (f"{DOMAIN}. 3600 IN MX", f"MX 50 {DOMAIN}."),
        (f"{DOMAIN}. 3600 IN TXT", 'TXT "v=spf1 mx -all"|TXT "verification=1"'),
        (f"{DOMAIN}. 3600 IN TXT", f'TXT "v=spf1 a:{DOMAIN} ~all"'),
        (f"{DOMAIN}. 3600 IN TXT", 'TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"'),
        ("_dmarc", 'TXT "v=DMARC1;p=reject;adkim=s;aspf=s;rua=mailto:x@y.z"'),
        ("20261125", f'TXT "p={KEY[:200]}" "{KEY[200:]}"'),
        ("20261125", f'TXT "v=DKIM1;k=rsa;p={KEY[:200]}" " {KEY[200:]};s=*;h=sha1:sha256"'),
        ("mta-sts", "A 192.0.2.1|AAAA 2001:db8::1"),
        ("_imaps", f"SRV 5 5 993 {DOMAIN}."),
        (
            f"{DOMAIN}. 3600 IN CAA",
            f'CAA 128 issue "letsencrypt.org;accounturi={ACCOUNT}"|CAA 0 issuewild ";"',
        ),
    ],
)
def test_other_spellings_are_right_too(servers: World, line: str, instead: str) -> None:
    servers.publish(changed(line, instead))
    assert wrong(servers) == {}


def test_the_first_character_that_differs(servers: World) -> None:
    """Whatever character of the key is wrong, its number is said, and both are shown."""
    for at in (0, 7, 254, 255, 391):
        other = "A" if KEY[at] != "A" else "B"
        key = KEY[:at] + other + KEY[at + 1 :]
        servers.publish(changed("20261125", f'TXT "v=DKIM1; p={key[:200]}" "{key[200:]}"'))
        _, text = wrong(servers)[DKIM]
        if other.lower() != KEY[at].lower():
            assert re.search(rf"from character {at + 1} of p= on: .*\[{re.escape(other)}\]", text)
            assert f"[{KEY[at]}]" in text


def test_a_leftover_address_of_a_family_that_the_host_lacks(servers: World) -> None:
    only4 = replace(FACTS, addresses=FACTS.addresses[:1])
    state, text = wrong(servers, only4)[f"AAAA {DOMAIN}"]
    assert state is State.ERROR
    assert "names 2001:db8::1, but this host has no IPv6 address" in text


def test_two_addresses_of_one_family(servers: World) -> None:
    more = replace(FACTS, addresses=(*FACTS.addresses, ip_address("192.0.2.7")))
    state, text = wrong(servers, more)[f"A {DOMAIN}"]
    assert (state, "but not 192.0.2.7" in text) == (State.ERROR, True)


def test_any_address_of_the_host_is_right(servers: World) -> None:
    """A host may have several, and the one that it sends from need not be the published one."""
    elsewhere = tuple(ip_address(text) for text in ("192.0.2.7", "2001:db8::7"))
    several = replace(FACTS, addresses=elsewhere, others=(*elsewhere, *FACTS.addresses))
    assert wrong(servers, several) == {}
    assert set(wrong(servers, replace(several, others=elsewhere))) == {
        f"A {DOMAIN}",
        f"AAAA {DOMAIN}",
    }


def test_unknown_addresses_are_not_compared_but_one_must_be_there(servers: World) -> None:
    unknown = replace(FACTS, addresses=())
    assert wrong(servers, unknown) == {}
    lines = [each for each in zone_text().splitlines() if " IN A " not in each]
    servers.publish("\n".join(line for line in lines if " IN AAAA " not in line))
    # The name servers' own addresses are gone too: only the primary is left.
    assert f"A {DOMAIN}" in wrong(servers, unknown, primaries=(PRIMARY,))


def test_an_alias_where_mail_goes(servers: World) -> None:
    others = [each for each in zone_text().splitlines() if not each.startswith(f"{DOMAIN}. ")]
    servers.publish("\n".join([*others, f"{DOMAIN}. 3600 IN CNAME host.example.org."]))
    found = wrong(servers)
    state, text = found[DOMAIN]
    assert state is State.ERROR
    assert "CNAME for host.example.org" in text
    assert list(found) == [DOMAIN]


def test_a_caa_record_of_the_parent_counts_where_the_domain_has_none(servers: World) -> None:
    servers.publish(
        zone_text(replace(FACTS, acme_account="")) + '@ 60 IN CAA 0 issue "x.example"\n'
    )
    found = wrong(servers)
    assert found["CAA example.org"][0] is State.ERROR
    assert found[f"CAA {DOMAIN}"][0] is State.WARNING
    elsewhere = replace(FACTS, acme_issuer="", acme_account="")
    assert wrong(servers, elsewhere) == {}
    assert lineage("a.b.example") == ["a.b.example", "b.example"]


def test_what_a_resolver_still_keeps_and_how_long(servers: World) -> None:
    servers.resolver.text = changed("_dmarc", 'TXT "v=DMARC1; p=none"')
    found = wrong(servers)
    assert list(found) == [RESOLVER]
    state, text = found[RESOLVER]
    assert state is State.WARNING
    assert text == (f"It differs from ns1.example.org in {DMARC}: still cached there for 1234 s.")


def test_what_a_resolver_keeps_as_missing(servers: World) -> None:
    servers.resolver.text, servers.resolver.ttl = HEAD, 77
    _, text = wrong(servers)[RESOLVER]
    assert "and 11 more: still cached there for 77 s" in text


def test_authoritative_servers_out_of_step(servers: World) -> None:
    servers.ns2.text = changed(f"{DOMAIN}. 3600 IN MX", "MX 10 old.example.")
    state, text = wrong(servers)["ns2.example.org"]
    assert state is State.ERROR
    assert f"differs from ns1.example.org in MX {DOMAIN}" in text


def test_a_hidden_primary_is_believed_first(servers: World) -> None:
    right = servers.primary.text
    servers.publish(HEAD)
    servers.primary.text = right
    servers.resolver.ttl = 60
    found = wrong(servers, primaries=(PRIMARY,))
    assert set(found) == {"ns1.example.org", "ns2.example.org", RESOLVER}
    assert f"differs from {PRIMARY}" in found["ns1.example.org"][1]
    assert ("example.org.", "NS") not in servers.primary.asked


def test_one_name_server_that_is_silent(servers: World) -> None:
    servers.ns1.silent = True
    found = wrong(servers, timeout=1)
    assert found == {
        "ns1.example.org": (State.UNKNOWN, "It does not answer: no answer within 1 s.")
    }


def test_servers_that_do_not_have_the_zone(servers: World) -> None:
    servers.ns2.code = dns.rcode.REFUSED
    assert "does not have the zone" in wrong(servers)["ns2.example.org"][1]


def test_a_resolver_that_cannot_validate(servers: World) -> None:
    servers.resolver.code = dns.rcode.SERVFAIL
    found = wrong(servers, primaries=(PRIMARY,))
    assert "DNSSEC" in found[RESOLVER][1]


def test_nobody_answers(servers: World) -> None:
    for server in servers.servers:
        server.silent = True
    assert wrong(servers, timeout=0.3) == {
        DOMAIN: (State.ERROR, "No name server answers: no answer within 0.3 s.")
    }
    assert "none is known" in wrong(servers, resolvers=())[DOMAIN][1]


def test_long_answers_come_by_tcp(servers: World) -> None:
    many = "|".join(f'TXT "{number:03} {"x" * 240}"' for number in range(8))
    servers.publish(changed(f"{DOMAIN}. 3600 IN TXT", f'TXT "v=spf1 a ~all"|{many}'))
    assert wrong(servers) == {}


def test_only_resolvers_are_asked_to_recurse(servers: World) -> None:
    options = Options(resolvers=(NS1,), port=servers.port)
    asked = questions(DOMAIN, wanted(DOMAIN, FACTS))
    views = asyncio.run(look(DOMAIN, asked, options))
    assert {(view.server, view.kind) for view in views} == {
        ("ns1.example.org", Kind.AUTHORITATIVE),
        ("ns2.example.org", Kind.AUTHORITATIVE),
        (NS1, Kind.RESOLVER),
    }
    assert NS2 != NS1
