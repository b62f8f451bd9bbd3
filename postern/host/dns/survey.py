"""The wanted records, compared with what the name servers answer now."""

from collections.abc import Sequence

from postern.host.dns.answers import View, questions
from postern.host.dns.check import Finding, check
from postern.host.dns.lookup import Options, look
from postern.host.dns.records import Facts, Record


async def survey(
    domain: str, facts: Facts, records: Sequence[Record], options: Options
) -> tuple[list[Finding], list[View]]:
    """The findings about `records` (`records.wanted`), and the servers' answers behind them."""
    views = await look(domain, questions(domain, records), options)
    return check(domain, facts, records, views), views
