"""What is wrong with the answer for one record, by the kind of the record. Pure."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from postern.host.dns.answers import Answer
from postern.host.dns.records import Facts, Record


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the records of one name and type."""

    text: str
    harmful: bool = False
    """Worse than no record at all."""


MISSING = Fault("missing")
"""There is none."""
Comparison = Callable[[Sequence[Record], Answer, Facts], Fault | None]
_SHOWN = 60
"""Characters of a value that a finding quotes."""
_AROUND = 8
"""Characters of a key that are quoted on each side of a difference."""


def comparison(record: Record) -> Comparison:
    """The comparison that fits a record."""
    if record.type == "TXT":
        return next(
            (compare for beginning, compare in _TEXTS if record.value.startswith(beginning)), _text
        )
    return _TYPES[record.type]


def _addresses(records: Sequence[Record], answer: Answer, facts: Facts) -> Fault | None:
    wanted, found = {record.value for record in records}, set(answer.values)
    others = {str(address) for address in facts.others}
    if not found:
        return MISSING
    strange = sorted(found - wanted - others)
    if not strange and (wanted <= found or found & others):
        return None
    own = ", ".join(sorted(wanted))
    if strange:
        return Fault(f"It names {', '.join(strange)}; this host has {own} only.", harmful=True)
    missing = ", ".join(sorted(wanted - found))
    return Fault(f"It names {', '.join(sorted(found))}, but not {missing}.")


def _mx(records: Sequence[Record], answer: Answer, _facts: Facts) -> Fault | None:
    if not answer.values:
        return MISSING
    wanted = {_target(record.value) for record in records}
    found = {_target(value) for value in answer.values}
    if found == wanted:
        return None
    own, strange = ", ".join(sorted(wanted)), ", ".join(sorted(found - wanted))
    if wanted < found:
        text = f"Mail also goes to {strange}: delete that record, and leave only {own}."
    else:
        text = (
            f"Mail goes to {strange or 'nobody'}; it has to be {own}, the name in the certificate."
        )
    return Fault(text, harmful=True)


def _target(value: str) -> str:
    return value.split(" ")[-1].rstrip(".").lower() or "nobody"


def _alias(records: Sequence[Record], answer: Answer, facts: Facts) -> Fault | None:
    """A CNAME; addresses of this host in its place do as well."""
    target = records[0].value.rstrip(".")
    own = {str(address) for address in (*facts.addresses, *facts.others)}
    found = set(answer.values)
    if answer.alias == target or (found and found <= own):
        return None
    if answer.alias:
        return Fault(f"It is a CNAME for {answer.alias}; it has to be one for {target}.")
    if found:
        return Fault(f"It names {', '.join(sorted(found))}; it has to be a CNAME for {target}.")
    return MISSING


def _service(records: Sequence[Record], answer: Answer, _facts: Facts) -> Fault | None:
    if not answer.values:
        return MISSING
    wanted = {_port_and_target(record.value) for record in records}
    found = {_port_and_target(value) for value in answer.values}
    if found == wanted:
        return None
    (port, target), strange = min(wanted), ", ".join(" ".join(each) for each in sorted(found))
    return Fault(f"It names port and host {strange}; it has to be {port} {target} only.")


def _port_and_target(value: str) -> tuple[str, str]:
    _, _, port, target = value.split(" ")
    return port, target.rstrip(".").lower()


def caa_fault(answer: Answer, facts: Facts) -> Fault | None:
    """Whether the certificate authority may issue for our account (RFC 8659, RFC 8657)."""
    issuers = [_issuer(value) for value in answer.values if value.split(" ")[1] == "issue"]
    if not issuers:
        return MISSING
    accounts = [account for name, account in issuers if name == facts.acme_issuer]
    if not accounts:
        names = ", ".join(sorted({name or "nobody" for name, _ in issuers}))
        text = f"Only {names} may issue certificates: {facts.acme_issuer} refuses to renew yours."
        return Fault(text, harmful=True)
    if facts.acme_account in accounts or (not facts.acme_account and "" in accounts):
        return None
    if "" in accounts:
        return Fault(
            f"Every account of {facts.acme_issuer} may get a certificate: append "
            f'"; accounturi={facts.acme_account}" to the value.'
        )
    if not facts.acme_account:
        return None
    text = f"It names the ACME account {accounts[0]}, so this host cannot renew: its account is "
    return Fault(text + facts.acme_account, harmful=True)


def _caa(_records: Sequence[Record], answer: Answer, facts: Facts) -> Fault | None:
    return caa_fault(answer, facts)


def _issuer(value: str) -> tuple[str, str]:
    """The authority and the account (empty: any) of `0 issue "authority; accounturi=…"`."""
    name, *parameters = (part.strip() for part in value.split(" ", 2)[2].strip('"').split(";"))
    accounts = [
        part.removeprefix("accounturi=") for part in parameters if part[:11] == "accounturi="
    ]
    return name.lower(), accounts[0] if accounts else ""


def _spf(_records: Sequence[Record], answer: Answer, facts: Facts) -> Fault | None:
    found = [value for value in answer.values if value.lower().split(" ")[0] == "v=spf1"]
    if not found:
        return MISSING
    if len(found) > 1:
        text = "receivers then ignore all of them (RFC 7208, 4.5): leave one"
        return Fault(f"There are {len(found)} SPF records, and {text}.", harmful=True)
    terms = found[0].lower().split()[1:]
    if not terms or terms[-1] not in ("~all", "-all"):
        return Fault(f"{_quoted(found[0])} does not end in ~all, so it lets anybody send.")
    if not _covers(terms, facts):
        return Fault(f"{_quoted(found[0])} does not name this host.", harmful=True)
    return None


def _covers(terms: Iterable[str], facts: Facts) -> bool:
    """Whether these terms name the host: by its A, its MX, or all of its addresses."""
    networks = []
    for term in terms:
        if re.fullmatch(r"\+?(?:a|mx)", term) or re.match(r"\+?(?:include:|redirect=)", term):
            return True  # what another domain lets send is not followed
        if match := re.fullmatch(r"\+?ip[46]:(.+)", term):
            networks.append(match[1])
        elif re.fullmatch(r"\+?(?:a|mx):.+", term):
            return True
    return bool(facts.addresses) and all(
        any(_is_in(address, network) for network in networks) for address in facts.addresses
    )


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _dmarc(_records: Sequence[Record], answer: Answer, _facts: Facts) -> Fault | None:
    found = [value for value in answer.values if value.replace(" ", "").startswith("v=DMARC1")]
    if not found:
        return MISSING
    if len(found) > 1:
        text = "receivers then ignore all of them (RFC 7489, 6.6.3): leave one"
        return Fault(f"There are {len(found)} DMARC records, and {text}.", harmful=True)
    tags = tags_of(found[0])
    if tags.get("p") != "reject":
        return Fault(f"p={tags.get('p', '')} lets forged mail in; it has to be p=reject.")
    if tags.get("sp", "reject") != "reject":
        return Fault(f"sp={tags['sp']} lets mail of forged subdomains in: delete that tag.")
    if tags.get("pct", "100") != "100":
        return Fault(f"pct={tags['pct']} lets some of the forged mail in: delete that tag.")
    loose = [f"{tag}=s" for tag in ("adkim", "aspf") if tags.get(tag, "r") != "s"]
    if loose:
        return Fault(f"{' and '.join(loose)} is missing: subdomains may send in its name.")
    return None


def _dkim(records: Sequence[Record], answer: Answer, _facts: Facts) -> Fault | None:
    if not answer.values:
        return MISSING
    if len(answer.values) > 1:
        text = f"There are {len(answer.values)} records; receivers may use any of them: leave one."
        return Fault(text, harmful=True)
    if any(character in answer.values[0] for character in '"\\'):
        text = "Quotes or backslashes became a part of it: paste the value without them."
        return Fault(text, harmful=True)
    wanted, found = tags_of(records[0].value), tags_of(answer.values[0])
    if found.get("v", "DKIM1") != "DKIM1" or found.get("k", "rsa") != "rsa" or "p" not in found:
        return Fault(f"{_quoted(answer.values[0])} is no DKIM key of RSA.", harmful=True)
    if fault := _key_fault(wanted["p"], "".join(found["p"].split())):
        return fault
    if "y" in found.get("t", "").split(":"):
        return Fault("t=y says that it is only tried out, so receivers ignore it.", harmful=True)
    if "sha256" not in found.get("h", "sha256") or found.get("s", "email") not in ("email", "*"):
        return Fault(
            f"It is not for mail signed by rsa-sha256: {_quoted(answer.values[0])}", harmful=True
        )
    return None


def _key_fault(wanted: str, found: str) -> Fault | None:
    if found == wanted:
        return None
    if not found:
        return Fault("p= is empty, which says that the key was withdrawn.", harmful=True)
    at = next(
        (at for at, (one, other) in enumerate(zip(wanted, found, strict=False)) if one != other),
        min(len(wanted), len(found)),
    )
    if at == len(found):
        text = (
            f"The key ends after {at} of {len(wanted)} characters: the form cut it. Paste all of "
            "it, or in strings of at most 255 characters as `postern dns --zone` prints them."
        )
    elif at == len(wanted):
        text = f"After the key's {at} characters there are {len(found) - at} more."
    elif found.lower() == wanted.lower():
        text = f"Upper and lower case differ from character {at + 1} of p= on: {_around(found, at)}"
    else:
        text = (
            f"The key differs from character {at + 1} of p= on: there is {_around(found, at)}, and "
            f"it has to be {_around(wanted, at)}."
        )
    return Fault(text, harmful=True)


def _around(key: str, at: int) -> str:
    """The place of a difference, its character in brackets."""
    before, after = key[max(0, at - _AROUND) : at], key[at + 1 : at + 1 + _AROUND]
    return f"…{before}[{key[at]}]{after}…"


def _text(records: Sequence[Record], answer: Answer, _facts: Facts) -> Fault | None:
    """Any other TXT record: compared by its tags, of which the first says what it is."""
    version = records[0].value.split(";")[0]
    found = [value for value in answer.values if value.split(";")[0].strip() == version]
    if not found:
        return MISSING
    if len(found) > 1:
        return Fault(f"There are {len(found)} records with {version}: leave one.", harmful=True)
    if tags_of(found[0]) != tags_of(records[0].value):
        return Fault(f"It is {_quoted(found[0])}; it has to be as below.")
    return None


def tags_of(text: str) -> dict[str, str]:
    """The tags of `a=b; c=d` (RFC 6376, 3.2)."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


_TYPES: dict[str, Comparison] = {
    "A": _addresses,
    "AAAA": _addresses,
    "MX": _mx,
    "CNAME": _alias,
    "SRV": _service,
    "CAA": _caa,
}
_TEXTS: tuple[tuple[str, Comparison], ...] = (
    ("v=spf1", _spf),
    ("v=DMARC1", _dmarc),
    ("v=DKIM1", _dkim),
)
