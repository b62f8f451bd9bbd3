"""What a relay publishes, and the three ways to write it down."""

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import dns.zone
import pytest

from postern.host.dns.facts import acme_account, facts_of, local_addresses, own_addresses
from postern.host.dns.forms import as_form, as_lines, as_zone, fields, relative, strings
from postern.host.dns.records import (
    Facts,
    Need,
    mta_sts_id,
    mta_sts_policy,
    remarks,
    wanted,
)
from relay.config import parse_config
from tests.postern.host.dns.zones import ACCOUNT, DOMAIN, FACTS, KEY, zone_text

LINES = f"""\
{DOMAIN} A 192.0.2.1
{DOMAIN} AAAA 2001:db8::1
{DOMAIN} MX 10 {DOMAIN}.
20261125._domainkey.{DOMAIN} TXT v=DKIM1; k=rsa; s=email; t=s; p={KEY}
{DOMAIN} TXT v=spf1 a ~all
_dmarc.{DOMAIN} TXT v=DMARC1; p=reject; adkim=s; aspf=s
_submission._tcp.{DOMAIN} SRV 0 1 587 {DOMAIN}.
_submissions._tcp.{DOMAIN} SRV 0 1 465 {DOMAIN}.
_imap._tcp.{DOMAIN} SRV 0 1 143 {DOMAIN}.
_imaps._tcp.{DOMAIN} SRV 0 1 993 {DOMAIN}.
_mta-sts.{DOMAIN} TXT v=STSv1; id={mta_sts_id(DOMAIN)}
mta-sts.{DOMAIN} CNAME {DOMAIN}.
autoconfig.{DOMAIN} CNAME {DOMAIN}.
{DOMAIN} CAA 0 issue "letsencrypt.org; accounturi={ACCOUNT}"
_smtp._tls.{DOMAIN} TXT v=TLSRPTv1; rua=mailto:postmaster@{DOMAIN}
"""


def test_all_that_a_relay_publishes() -> None:
    assert as_lines(wanted(DOMAIN, FACTS)) == LINES
    assert remarks(DOMAIN, FACTS) == []


def test_what_is_not_known_is_left_out_and_said() -> None:
    records = wanted(DOMAIN, Facts())
    assert {record.type for record in records} == {"MX", "TXT", "SRV", "CNAME"}
    assert not any("_domainkey" in record.name for record in records)
    assert not any("_tls" in record.name for record in records)
    address, key = remarks(DOMAIN, Facts())
    assert "--address" in address
    assert "DKIM" in key


def test_an_address_literal_needs_none() -> None:
    assert wanted("[192.0.2.1]", FACTS) == []
    assert "needs no DNS records" in remarks("[192.0.2.1]", FACTS)[0]


def test_a_self_signed_domain_has_nothing_that_needs_a_certificate() -> None:
    names = {(record.name, record.type) for record in wanted("_test.example.org", FACTS)}
    assert ("_test.example.org", "MX") in names
    assert not {kind for _, kind in names} & {"CAA", "CNAME"}
    assert not any("mta-sts" in name for name, _ in names)
    assert "self-signed" in remarks("_test.example.org", FACTS)[0]


def test_the_next_key_is_only_recommended() -> None:
    following = replace(FACTS.dkim[0], selector="20270101", need=Need.RECOMMENDED)
    records = wanted(DOMAIN, replace(FACTS, dkim=(*FACTS.dkim, following)))
    assert [each.need for each in records if "_domainkey" in each.name] == [
        Need.REQUIRED,
        Need.RECOMMENDED,
    ]


def test_the_policy_of_mta_sts_and_its_id() -> None:
    assert mta_sts_policy(DOMAIN) == (
        f"version: STSv1\r\nmode: enforce\r\nmx: {DOMAIN}\r\nmax_age: 2419200\r\n"
    )
    assert mta_sts_id(DOMAIN).isalnum()
    assert len(mta_sts_id(DOMAIN)) <= 32
    assert mta_sts_id(DOMAIN) != mta_sts_id("other.example")


def test_the_zone_file_is_read_by_a_name_server() -> None:
    zone = dns.zone.from_text(zone_text(), relativize=False, check_origin=False)
    key = zone.get_rdataset(f"20261125._domainkey.{DOMAIN}.", "TXT")
    assert key is not None
    assert [len(part) for part in key[0].strings] == [255, len(FACTS.dkim[0].text) - 255]
    assert b"".join(key[0].strings).decode() == FACTS.dkim[0].text
    assert sum(len(node.rdatasets) for node in zone.nodes.values()) == LINES.count("\n") + 4


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", '""'),
        ('a"b\\c', r'"a\"b\\c"'),
        ("x" * 256, f'"{"x" * 255}" "x"'),
    ],
)
def test_strings(text: str, written: str) -> None:
    assert strings(text) == written


def test_the_zone_file_tells_required_from_recommended() -> None:
    text = as_zone(wanted(DOMAIN, FACTS))
    required, recommended = text.split("\n; Recommended\n")
    assert required.startswith("; Required\n")
    assert "MX" in required
    assert "SRV" in recommended


def test_fields_of_a_form() -> None:
    by_type = {record.type: fields(record, "example.org") for record in wanted(DOMAIN, FACTS)}
    ttl = ("TTL", "3600")
    assert by_type["MX"] == [
        ("Type", "MX"),
        ("Name", "chat"),
        ("Priority", "10"),
        ("Value", f"{DOMAIN}."),
        ttl,
    ]
    assert by_type["SRV"] == [
        ("Type", "SRV"),
        ("Name", "_imaps._tcp.chat"),
        ("Priority", "0"),
        ("Weight", "1"),
        ("Port", "993"),
        ("Value", f"{DOMAIN}."),
        ttl,
    ]
    assert by_type["CAA"] == [
        ("Type", "CAA"),
        ("Name", "chat"),
        ("Flags", "0"),
        ("Tag", "issue"),
        ("Value", f"letsencrypt.org; accounturi={ACCOUNT}"),
        ttl,
    ]


def test_a_form_has_the_key_whole_and_a_block_per_record() -> None:
    text = as_form(wanted(DOMAIN, FACTS), "example.org")
    assert f"Value:    {FACTS.dkim[0].text}\n" in text
    assert text.count("\n\n") == LINES.count("\n") - 1


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("example.org", "@"),
        ("a.b.example.org", "a.b"),
        ("notexample.org", "notexample.org"),
    ],
)
def test_names_are_relative_to_the_zone(name: str, written: str) -> None:
    assert relative(name, "example.org") == written


def test_the_acme_account_is_certbots(tmp_path: Path) -> None:
    assert acme_account(tmp_path) == ""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "regr.json").write_text("broken")
    assert acme_account(tmp_path) == ""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "regr.json").write_text('{"body": {}, "uri": "https://acme/1"}')
    assert acme_account(tmp_path) == "https://acme/1"
    config, _ = parse_config(f"[params]\nmail_domain = {DOMAIN}\n", "here")
    assert facts_of(config, accounts=tmp_path).acme_account == "https://acme/1"
    external, _ = parse_config(
        f"[params]\nmail_domain = {DOMAIN}\ntls_external_cert_and_key = /a /b\n", "here"
    )
    assert facts_of(external, accounts=tmp_path).acme_issuer == ""


def test_all_lasting_public_addresses_of_the_host(tmp_path: Path) -> None:
    assert local_addresses(tmp_path) == ()
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/fib_trie").write_text(
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n"
        "     |-- 5.9.1.0\n        /24 link UNICAST\n"
        "     |-- 5.9.1.2\n        /32 host LOCAL\n"
        "     |-- 10.0.0.1\n        /32 host LOCAL\n"
        "Local:\n     |-- 5.9.1.2\n        /32 host LOCAL\n"
        "     |-- 5.9.1.9\n        /32 host LOCAL\n"
    )
    (tmp_path / "proc/net/if_inet6").write_text(
        "2a0104f9000000000000000000000001 02 40 00 80     eth0\n"
        "2a0104f9000000000000000000000abc 02 40 00 01     eth0\n"
        "fe800000000000000000000000000001 02 40 20 80     eth0\n"
    )
    found = local_addresses(tmp_path)
    assert [str(each) for each in found] == ["5.9.1.2", "5.9.1.9", "2a01:4f9::1"]


def test_only_public_addresses_of_this_host_count() -> None:
    assert all(address.is_global for address in own_addresses())
    config, _ = parse_config(f"[params]\nmail_domain = {DOMAIN}\n", "here")
    stated = (ip_address("192.0.2.9"),)
    assert facts_of(config, stated).addresses == stated
