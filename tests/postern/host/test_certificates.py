"""Certificates: which one is wanted, what is wrong with one, and how it is put in its place."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from postern.host.certificates import certbot, selfsigned
from postern.host.certificates.inspection import inspect, judge
from postern.host.certificates.pair import Pair, Unusable, parse, read
from postern.host.certificates.provision import Host, deploy, ensure_first, obtain
from postern.host.certificates.wanted import (
    Kind,
    certified_name,
    covers,
    kind,
    names_to_ask_for,
)
from relay.config import CertificateFiles, Config, parse_config

NOW = datetime(2027, 1, 1, tzinfo=UTC)
DOMAIN = "chat.example.org"
DIRECTORY = "https://acme.example.net/dir"


def configured(domain: str = DOMAIN, *lines: str) -> Config:
    text = "\n".join(
        ["[params]", f"mail_domain = {domain}", f"acme_directory = {DIRECTORY}", *lines]
    )
    return parse_config(text + "\n", "chatmail.ini")[0]


def issued(
    *names: str, start: datetime = NOW, days: float = 90, issuer: str = "Test authority"
) -> Pair:
    """A certificate that an authority has signed."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .sign(authority, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), pem, certificate)


def write(files: CertificateFiles, pair: Pair) -> None:
    files.certificate.parent.mkdir(parents=True, exist_ok=True)
    files.certificate.write_bytes(pair.chain)
    files.key.write_bytes(pair.key)


@dataclass
class World:
    """A host in a directory, with a certbot that does as it is told."""

    root: Path
    config: Config
    at: datetime = NOW
    answer: Pair | certbot.NoCertificate | None = None
    orders: list[list[str]] = field(default_factory=list)
    reloads: int = 0
    names: dict[str, set[str]] = field(default_factory=dict)

    @property
    def host(self) -> Host:
        return Host(
            installed=CertificateFiles(self.root / "tls/fullchain.pem", self.root / "tls/key.pem"),
            webroot=self.root / "acme",
            certbot_home=self.root / "letsencrypt",
            run_certbot=self.run_certbot,
            addresses=lambda name: self.names.get(name, set()),
            reload=self.reload,
            now=lambda: self.at,
        )

    @property
    def installed(self) -> Pair:
        return read(self.host.installed)

    def run_certbot(self, command: Sequence[str]) -> None:
        self.orders.append(list(command))
        if isinstance(self.answer, certbot.NoCertificate):
            raise self.answer
        assert self.answer is not None
        self.has_from_acme(self.answer)
        deploy(self.config, self.host)  # as the hook does

    def has_from_acme(self, pair: Pair, server: str = DIRECTORY) -> None:
        write(certbot.live(self.config, self.host.certbot_home), pair)
        renewal = self.host.certbot_home / "renewal" / f"{self.config.mail_domain}.conf"
        renewal.parent.mkdir(exist_ok=True)
        renewal.write_text(f"[renewalparams]\naccount = 1\nserver = {server}\n")

    def reload(self) -> list[str]:
        self.reloads += 1
        return []


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    def make(config: Config | None = None) -> World:
        return World(tmp_path, config or configured())

    return make


@pytest.mark.parametrize(
    ("domain", "lines", "expected"),
    [
        (DOMAIN, [], Kind.ACME),
        ("_relay.test", [], Kind.SELF_SIGNED),
        ("[192.0.2.1]", [], Kind.SELF_SIGNED),
        ("[IPv6:2001:db8::1]", [], Kind.SELF_SIGNED),
        (DOMAIN, ["tls_external_cert_and_key = /a /b"], Kind.EXTERNAL),
        ("_relay.test", ["tls_external_cert_and_key = /a /b"], Kind.EXTERNAL),
    ],
)
def test_kind(domain: str, lines: list[str], expected: Kind) -> None:
    assert kind(configured(domain, *lines)) is expected


def test_only_names_that_lead_to_this_host_are_asked_for() -> None:
    addresses = {
        DOMAIN: {"192.0.2.1", "2001:db8::1"},
        f"mta-sts.{DOMAIN}": {"192.0.2.1"},
        f"www.{DOMAIN}": {"192.0.2.1", "198.51.100.9"},
    }
    found = names_to_ask_for(DOMAIN, lambda name: addresses.get(name, set()))
    assert found == [DOMAIN, f"mta-sts.{DOMAIN}"]
    assert names_to_ask_for(DOMAIN, lambda _: set()) == [DOMAIN]


@pytest.mark.parametrize(
    ("names", "name", "expected"),
    [
        (["a.example"], "a.example", True),
        (["*.example.org"], "chat.example.org", True),
        (["*.example.org"], "a.chat.example.org", False),
        (["*.example.org"], "example.org", False),
        (["192.0.2.1"], "192.0.2.1", True),
        ([], "a.example", False),
    ],
)
def test_covers(names: list[str], name: str, expected: bool) -> None:
    assert covers(names, name) is expected


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("_relay.test", "_relay.test"),
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("a" * 63 + ".example.org", "a" * 63 + ".example.org"),
    ],
)
def test_a_self_signed_certificate_names_domain_or_address(domain: str, name: str) -> None:
    pair = selfsigned.make(certified_name(configured(domain).mail_domain), NOW)
    assert pair.names == [name]
    assert pair.is_self_signed
    assert parse(pair.chain, pair.key) == pair
    assert not pair.is_late(NOW)


@pytest.mark.parametrize(
    ("days", "left", "late"),
    [
        (90, 21.1, False),
        (90, 20.9, True),
        (45, 11.3, False),
        (45, 11.2, True),
        (6, 2, False),
        (6, 1, True),
    ],
)
def test_a_renewal_is_late_by_lifetime(days: float, left: float, late: bool) -> None:
    pair = issued(DOMAIN, days=days)
    assert pair.is_late(pair.expires - timedelta(days=left)) is late


def test_what_is_no_pair() -> None:
    one, other = issued(DOMAIN), issued(DOMAIN)
    for chain, key, words in (
        (one.chain, other.key, "does not belong"),
        (b"", one.key, "no PEM certificate"),
        (one.chain, b"-----BEGIN", "no PEM private key"),
    ):
        with pytest.raises(Unusable, match=words):
            parse(chain, key)


def test_an_order() -> None:
    command = certbot.order(configured(DOMAIN, "acme_email = me@example.com"), [DOMAIN, "b"])
    words = " ".join(command)
    assert words.startswith("certbot certonly --non-interactive --agree-tos")
    assert f"--server {DIRECTORY} --email me@example.com --webroot " in words
    assert "--register-unsafely-without-email" in certbot.order(configured(), [DOMAIN])
    assert command[-4:] == ["--domain", DOMAIN, "--domain", "b"]
    assert "--force-renewal" in certbot.order(configured(), [DOMAIN], renew=True)


REFUSED = """\
Requesting a certificate for chat.example.org and mta-sts.chat.example.org

Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority \
reported these problems:
  Domain: chat.example.org
  Type:   connection
  Detail: 192.0.2.1: Fetching http://chat.example.org/.well-known/acme-challenge/x: Timeout
  Domain: mta-sts.chat.example.org
  Type:   dns
  Detail: DNS problem: NXDOMAIN

Hint: The Certificate Authority failed to download the temporary challenge files.
"""


def test_a_refusal_names_the_challenge_the_reason_and_the_mend() -> None:
    first, second = certbot.reasons(REFUSED)
    assert first.startswith("chat.example.org could not be validated (connection): 192.0.2.1: Fe")
    assert "Port 80 of this host must be open" in first
    assert second.startswith("mta-sts.chat.example.org could not be validated (dns): DNS problem")
    assert "AAAA record" in second


def test_another_failure_is_said_as_certbot_says_it() -> None:
    assert certbot.reasons("Saving debug log\n\nAn unexpected error occurred:\nNo route\n") == [
        "certbot says: Saving debug log / An unexpected error occurred: / No route"
    ]


def test_the_account_is_found(tmp_path: Path) -> None:
    assert certbot.account_uri(configured(), tmp_path) is None
    directory = tmp_path / "accounts/acme.example.net/dir/0123"
    directory.mkdir(parents=True)
    (directory / "regr.json").write_text(json.dumps({"uri": f"{DIRECTORY}/account/7", "body": {}}))
    assert certbot.account_uri(configured(), tmp_path) == f"{DIRECTORY}/account/7"


def test_the_first_certificate_is_self_signed_and_stays(world: Callable[..., World]) -> None:
    relay = world()
    assert ensure_first(relay.config, relay.host).is_new
    first = relay.installed
    assert (first.names, first.is_self_signed) == ([DOMAIN], True)
    assert not ensure_first(relay.config, relay.host).is_new
    assert relay.installed == first
    assert relay.host.installed.key.stat().st_mode & 0o777 == 0o600
    assert relay.host.installed.certificate.stat().st_mode & 0o777 == 0o644
    assert {path.name for path in (relay.root / "tls").iterdir()} == {"fullchain.pem", "key.pem"}
    assert relay.host.webroot.is_dir()


def test_a_first_certificate_is_the_one_that_acme_gave_before(
    world: Callable[..., World],
) -> None:
    relay, pair = world(), issued(DOMAIN)
    relay.has_from_acme(pair)
    ensure_first(relay.config, relay.host)
    assert relay.installed == pair


def test_half_a_pair_is_replaced(world: Callable[..., World]) -> None:
    relay, pair = world(), issued(DOMAIN)
    relay.has_from_acme(pair)
    write(relay.host.installed, Pair(pair.chain, issued(DOMAIN).key, pair.leaf))
    assert deploy(relay.config, relay.host).is_new
    assert relay.installed == pair


def test_an_order_is_made_once(world: Callable[..., World]) -> None:
    relay = world()
    relay.answer = issued(DOMAIN)
    ensure_first(relay.config, relay.host)
    outcome = obtain(relay.config, relay.host)
    assert (outcome.is_new, outcome.problems) == (True, ())
    assert relay.installed == relay.answer
    assert not obtain(relay.config, relay.host).is_new
    assert (len(relay.orders), relay.reloads) == (1, 1)


def _names_a_new_one(relay: World) -> None:
    relay.names = {DOMAIN: {"192.0.2.1"}, f"mta-sts.{DOMAIN}": {"192.0.2.1"}}


def _is_late(relay: World) -> None:
    relay.at = NOW + timedelta(days=80)


def _has_another_server(relay: World) -> None:
    relay.has_from_acme(relay.installed, "https://staging.example.net/dir")


@pytest.mark.parametrize("change", [_names_a_new_one, _is_late, _has_another_server])
def test_an_order_is_made_again(
    world: Callable[..., World], change: Callable[[World], None]
) -> None:
    relay = world()
    relay.answer = issued(DOMAIN)
    obtain(relay.config, relay.host)
    change(relay)
    relay.answer = issued(DOMAIN, f"mta-sts.{DOMAIN}", start=relay.at)
    assert obtain(relay.config, relay.host).is_new
    assert relay.installed == relay.answer


def test_an_order_that_fails_leaves_the_certificate_and_says_why(
    world: Callable[..., World],
) -> None:
    relay = world()
    ensure_first(relay.config, relay.host)
    first = relay.installed
    relay.answer = certbot.NoCertificate("one reason", "another")
    outcome = obtain(relay.config, relay.host)
    assert (outcome.is_new, outcome.problems) == (False, ("one reason", "another"))
    assert relay.installed == first


def test_an_external_certificate_is_deployed_when_it_changes(
    world: Callable[..., World], tmp_path: Path
) -> None:
    files = CertificateFiles(tmp_path / "theirs/chain.pem", tmp_path / "theirs/key.pem")
    relay = world(configured(DOMAIN, f"tls_external_cert_and_key = {' '.join(map(str, files))}"))
    outcome = obtain(relay.config, relay.host)
    assert outcome.problems == (f"{files.certificate}: No such file or directory",)
    assert relay.installed.is_self_signed
    one, other = issued(DOMAIN), issued(DOMAIN)
    write(files, one)
    assert [obtain(relay.config, relay.host).is_new for _ in range(2)] == [True, False]
    files.certificate.write_bytes(other.chain)
    half = obtain(relay.config, relay.host)
    assert not half.is_new
    assert "does not belong" in half.problems[0]
    assert relay.installed == one
    files.key.write_bytes(other.key)
    assert obtain(relay.config, relay.host).is_new
    assert (relay.installed, relay.orders, relay.reloads) == (other, [], 3)


def test_a_self_signed_certificate_is_made_anew_before_its_end(
    world: Callable[..., World],
) -> None:
    relay = world(configured("_relay.test"))
    assert obtain(relay.config, relay.host).is_new
    assert not obtain(relay.config, relay.host).is_new
    assert obtain(relay.config, relay.host, force=True).is_new
    relay.at = relay.installed.expires - timedelta(days=20)
    assert obtain(relay.config, relay.host).is_new
    assert relay.orders == []


def _judged(config: Config, pair: Pair, at: datetime = NOW, **shown: bytes | str) -> list[str]:
    ports = {int(port[1:]): certificate for port, certificate in shown.items()}
    return list(judge(config, pair, ports, at))


def test_nothing_is_wrong() -> None:
    for config, pair in (
        (configured(), issued(DOMAIN)),
        (configured("_relay.test"), selfsigned.make("_relay.test", NOW)),
    ):
        assert _judged(config, pair, p993=pair.der, p443=pair.der) == []


@pytest.mark.parametrize(
    ("pair", "at", "words"),
    [
        (issued("other.example"), NOW, "not for chat.example.org but for other.example"),
        (issued(DOMAIN), NOW + timedelta(days=75), "expires in 15 days and was not renewed"),
        (issued(DOMAIN), NOW + timedelta(days=91), "expired on 2027-04-01"),
        (issued(DOMAIN), NOW - timedelta(days=1), "the clock says 2026-12-31 00:00 UTC"),
        (selfsigned.make(DOMAIN, NOW), NOW, "is self-signed"),
    ],
)
def test_what_is_wrong_with_a_certificate(pair: Pair, at: datetime, words: str) -> None:
    (problem,) = _judged(configured(), pair, at)
    assert words in problem


def test_what_is_wrong_with_a_server() -> None:
    pair = issued(DOMAIN)
    hung, old = _judged(
        configured(), pair, p993="no answer within 8 s", p465=issued(DOMAIN).der, p443=pair.der
    )
    assert hung == "port 993 shows no certificate: no answer within 8 s"
    assert "port 465 shows another certificate" in old
    assert "systemctl reload" in old


def test_what_is_not_there_is_said(world: Callable[..., World]) -> None:
    relay = world()
    found = inspect(relay.config, relay.host)
    assert found.pair is None
    assert "fullchain.pem: No such file or directory. Run as root: postern" in found.problems[0]
    ensure_first(relay.config, relay.host)
    shown = relay.installed.der
    host = replace(relay.host, now=lambda: NOW)
    assert len(inspect(relay.config, host, lambda _: shown).problems) == 1
