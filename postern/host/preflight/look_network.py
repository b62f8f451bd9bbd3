"""Facts of the network: clocks, other mail servers, IPv6, block lists."""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import dns.reversename

from postern.host.dns import lookup
from postern.host.dns.answers import Answer
from postern.host.preflight.facts import ClockReading, IPAddress, Listing, Outgoing

MAX_HEADER = 16384
"""Octets of an answer that are read for its Date."""


async def clock(url: str, seconds: float, now: Callable[[], float] = time.time) -> ClockReading:
    """How far this host's clock is from that of a web server, by its Date (RFC 9110, 6.6.1).

    Raises OSError, TimeoutError or ValueError where it says nothing usable.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(
            host, parts.port or (443 if parts.scheme == "https" else 80), ssl=_tls(parts.scheme)
        )
        with contextlib.closing(writer):
            request = (
                f"HEAD {parts.path or '/'} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            )
            writer.write(request.encode())
            header = await reader.readuntil(b"\r\n\r\n")
    text = header[:MAX_HEADER].decode("latin-1")
    date = re.search(r"^date:\s*(.+?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    if date is None:
        raise ValueError(f"{url} does not say what time it is")
    # What comes out of a cache has the date of when it went in.
    age = re.search(r"^age:\s*(\d+)", text, re.IGNORECASE | re.MULTILINE)
    there = parsedate_to_datetime(date[1]).timestamp() + (int(age[1]) if age else 0)
    return ClockReading(host, now() - there)


def _tls(scheme: str) -> ssl.SSLContext | None:
    if scheme != "https":
        return None
    # With a wrong clock no certificate is valid, and a date is all that is asked for.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def clocks(urls: Sequence[str], seconds: float) -> tuple[ClockReading, ...]:
    """The readings of those that answer."""
    found = await asyncio.gather(*(clock(url, seconds) for url in urls), return_exceptions=True)
    return tuple(each for each in found if isinstance(each, ClockReading))


async def outgoing(server: str, port: int, seconds: float, options: lookup.Options) -> Outgoing:
    """Try to get the greeting of a mail server, at each of its IPv4 addresses first."""
    try:
        addresses = await lookup.addresses_of(server, options)
    except lookup.Unreachable:
        addresses = []
    if not addresses:
        return Outgoing(server, "its address cannot be looked up", tried=False)
    failure = ""
    for address in addresses[:2]:
        failure = await _greeting(address, port, seconds)
        if not failure:
            break
    return Outgoing(server, failure)


async def _greeting(address: str, port: int, seconds: float) -> str:
    """Why a mail server does not greet; empty if it does."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(address, port)
            with contextlib.closing(writer):
                line = await reader.readline()
    except TimeoutError:
        return f"no answer from {address} within {seconds:g} s"
    except (OSError, ValueError) as error:
        return f"{address} cannot be reached ({_reason(error)})"
    if re.match(rb"[245]\d\d[ -]", line):
        return ""  # a refusal of this host is an answer too: the port is open
    return f"what answers at {address} is no mail server"


async def ipv6_failure(targets: Sequence[tuple[str, int]], seconds: float) -> str:
    """Why nothing can be reached by IPv6; empty if one of the targets accepts a connection."""
    failures = []
    for address, port in targets:
        try:
            async with asyncio.timeout(seconds):
                _, writer = await asyncio.open_connection(address, port)
            writer.close()
        except TimeoutError:
            failures.append(f"{address} does not answer within {seconds:g} s")
        except OSError as error:
            failures.append(f"{address} cannot be reached ({_reason(error)})")
        else:
            return ""
    return "; ".join(failures)


async def reverse(address: IPAddress, options: lookup.Options) -> Answer:
    """The PTR records of an address."""
    name = dns.reversename.from_address(str(address)).to_text(omit_final_dot=True)
    return await _resolved((name, "PTR"), options)


async def listing(address: IPAddress, block_list: str, options: lookup.Options) -> Listing:
    """What a block list says of an address (RFC 5782, 2.1 and 2.4)."""
    reversed_name = dns.reversename.from_address(str(address)).to_text(omit_final_dot=True)
    labels = reversed_name.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    answer = await _resolved((f"{labels}.{block_list}", "A"), options)
    return Listing(block_list, address, answer)


async def _resolved(question: tuple[str, str], options: lookup.Options) -> Answer:
    try:
        return await lookup.resolve(question, options)
    except lookup.Unreachable as error:
        return Answer(failure=str(error), unreachable=True)


def system_resolvers(root: Path = Path("/")) -> tuple[str, ...]:
    """The resolvers of /etc/resolv.conf: block lists refuse the questions of public ones."""
    try:
        text = (root / "etc/resolv.conf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(re.findall(r"^\s*nameserver\s+([0-9A-Fa-f.:]+)\s*$", text, re.MULTILINE))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
