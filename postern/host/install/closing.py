"""What an installation leaves to a person: the DNS records that are missing or wrong."""

import time
from ipaddress import IPv4Address, IPv6Address

from postern.host.dkim.directory import DIRECTORY, KeyDirectory
from postern.host.dns.check import State
from postern.host.dns.facts import facts_of
from postern.host.dns.records import has_no_dns, wanted
from relay.config import Config


async def missing_records(
    config: Config, addresses: tuple[IPv4Address | IPv6Address, ...]
) -> list[str]:
    """Each record that is not as it should be, in words. Asks name servers, for seconds."""
    if has_no_dns(config.mail_domain):
        return []
    from postern.host.dns.lookup import Options
    from postern.host.dns.survey import survey

    keys = KeyDirectory.of(config.mail_domain, DIRECTORY).published(int(time.time()))
    facts = facts_of(config, addresses, dkim=keys)
    records = wanted(config.mail_domain, facts)
    findings, _ = await survey(config.mail_domain, facts, records, Options())
    wrong = [each for each in findings if each.state not in (State.OK, State.UNKNOWN)]
    return [f"{each.subject}: {each.text}" for each in wrong]
