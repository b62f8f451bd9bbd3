"""The DNS records that a relay needs, made of its domain and what is known of its host. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address

TTL = 3600
"""Seconds that resolvers may keep a record."""
LETS_ENCRYPT = "letsencrypt.org"
"""The certificate authority, as CAA records name it."""
SRV_PORTS = {"submission": 587, "submissions": 465, "imap": 143, "imaps": 993}
"""The services that clients look up (RFC 6186; RFC 8314, 5.1)."""
NO_DNS = (
    "{domain} is an address literal: the relay is reached by its address, and needs no DNS "
    "records. Other relays cannot verify mail of such a domain (there is no name to publish a "
    "DKIM key under), so it is for trials only."
)
SELF_SIGNED = (
    "{domain} begins with an underscore: clients accept a self-signed certificate of such a "
    "domain, and no certificate authority issues one, so MTA-STS, CAA and autoconfig are left out."
)


class Need(StrEnum):
    """How badly a record is needed."""

    REQUIRED = "required"
    RECOMMENDED = "recommended"


@dataclass(frozen=True, slots=True)
class Record:
    """One wanted record."""

    name: str
    """Absolute, in lower case, without the last dot."""
    type: str
    value: str
    """As in a zone file, names with the last dot; but a TXT record's text is whole and unquoted."""
    need: Need
    purpose: str
    """What it is for: the second half of "without it …"."""


@dataclass(frozen=True, slots=True)
class DkimKey:
    """The public half of a signing key."""

    selector: str
    public: str
    """The key as base64 of its SubjectPublicKeyInfo (RFC 6376, 3.6.1)."""
    need: Need = Need.REQUIRED
    """A key that does not sign yet is only recommended."""

    @property
    def text(self) -> str:
        """The text of its record."""
        return f"v=DKIM1; k=rsa; s=email; t=s; p={self.public}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the records depend on, beside the domain."""

    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    """The public addresses of the host to publish; empty where they are not known."""
    others: tuple[IPv4Address | IPv6Address, ...] = ()
    """Further public addresses of the host, which are right too."""
    dkim: tuple[DkimKey, ...] = ()
    acme_issuer: str = LETS_ENCRYPT
    """As CAA names it; empty where the certificate comes from elsewhere."""
    acme_account: str = ""
    """The URI of the ACME account, where it is known."""
    reports_to: str = ""
    """Where reports about TLS failures go (RFC 8460); empty: nobody would read them."""


def has_no_dns(domain: str) -> bool:
    """Whether the domain is an address literal."""
    return domain.startswith("[")


def is_self_signed(domain: str) -> bool:
    """Whether clients take a self-signed certificate of this domain."""
    return domain.startswith("_")


def remarks(domain: str, facts: Facts) -> list[str]:
    """What the operator should know about this list of records."""
    if has_no_dns(domain):
        return [NO_DNS.format(domain=domain)]
    found = [SELF_SIGNED.format(domain=domain)] if is_self_signed(domain) else []
    if not facts.addresses:
        found.append(
            "The public address of this host is not known (it has only private ones, or no route "
            "out): name each with --address, or the A and AAAA records are left out."
        )
    if not facts.dkim:
        found.append(
            "There is no DKIM key yet, and so no record for it: `postern install` makes one. "
            "Other relays refuse unsigned mail."
        )
    return found


def wanted(domain: str, facts: Facts) -> list[Record]:
    """Every record of a relay, the required ones first; none for an address literal."""
    if has_no_dns(domain):
        return []
    records = [*_addresses(domain, facts), *_mail(domain, facts), *_clients(domain)]
    if not is_self_signed(domain):
        records += _certificates(domain, facts)
    if facts.reports_to:
        text, purpose = f"v=TLSRPTv1; rua=mailto:{facts.reports_to}", "nobody reports TLS failures"
        records.append(Record(f"_smtp._tls.{domain}", "TXT", text, Need.RECOMMENDED, purpose))
    return sorted(records, key=lambda record: record.need != Need.REQUIRED)


def mta_sts_policy(domain: str) -> str:
    """The policy at https://mta-sts.DOMAIN/.well-known/mta-sts.txt (RFC 8461, 3.2)."""
    lines = ("version: STSv1", "mode: enforce", f"mx: {domain}", "max_age: 2419200")
    return "".join(f"{line}\r\n" for line in lines)


def mta_sts_id(domain: str) -> str:
    """The `id` that says which policy is meant; it changes only with the policy (RFC 8461, 3.1)."""
    return sha256(mta_sts_policy(domain).encode()).hexdigest()[:20]


def _addresses(domain: str, facts: Facts) -> Iterator[Record]:
    for address in sorted(facts.addresses, key=lambda address: address.version):
        kind = "A" if address.version == 4 else "AAAA"
        purpose = f"nobody reaches this host over IPv{address.version}"
        yield Record(domain, kind, str(address), Need.REQUIRED, purpose)


def _mail(domain: str, facts: Facts) -> Iterator[Record]:
    purpose = "other servers have to guess where mail for this domain goes"
    yield Record(domain, "MX", f"10 {domain}.", Need.REQUIRED, purpose)
    for key in facts.dkim:
        if key.need is Need.REQUIRED:
            purpose = "other relays refuse all mail from here"
        else:
            purpose = f"the next signing key {key.selector} cannot be used"
        yield Record(f"{key.selector}._domainkey.{domain}", "TXT", key.text, key.need, purpose)
    purpose = "large mail providers take mail from here for spam"
    yield Record(domain, "TXT", "v=spf1 a ~all", Need.RECOMMENDED, purpose)
    text, purpose = (
        "v=DMARC1; p=reject; adkim=s; aspf=s",
        "anybody can send mail in the name of this domain",
    )
    yield Record(f"_dmarc.{domain}", "TXT", text, Need.RECOMMENDED, purpose)


def _clients(domain: str) -> Iterator[Record]:
    for service, port in SRV_PORTS.items():
        name, purpose = f"_{service}._tcp.{domain}", "some mail programs do not find the server"
        yield Record(name, "SRV", f"0 1 {port} {domain}.", Need.RECOMMENDED, purpose)


def _certificates(domain: str, facts: Facts) -> Iterator[Record]:
    """What counts only for a domain with a certificate that the world accepts."""
    purpose = "other servers can be led to send in the clear"
    text = f"v=STSv1; id={mta_sts_id(domain)}"
    yield Record(f"_mta-sts.{domain}", "TXT", text, Need.RECOMMENDED, purpose)
    yield Record(f"mta-sts.{domain}", "CNAME", f"{domain}.", Need.RECOMMENDED, purpose)
    purpose = "some mail programs do not find the server"
    yield Record(f"autoconfig.{domain}", "CNAME", f"{domain}.", Need.RECOMMENDED, purpose)
    if facts.acme_account:
        value = f'0 issue "{facts.acme_issuer}; accounturi={facts.acme_account}"'
        purpose = "an attacker on the way to this host can get a certificate for it (RFC 8657)"
        yield Record(domain, "CAA", value, Need.RECOMMENDED, purpose)
