"""What the records depend on, read off this host."""

import contextlib
import ipaddress
import json
import re
import socket
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from postern.host.dns.records import LETS_ENCRYPT, DkimKey, Facts, is_self_signed
from relay.config import Config

ACME_ACCOUNTS = Path("/etc/letsencrypt/accounts/acme-v02.api.letsencrypt.org/directory")
"""Where certbot keeps its accounts with Let's Encrypt."""
_FAR = ((socket.AF_INET, "9.9.9.9"), (socket.AF_INET6, "2620:fe::fe"))
"""Any public address of each family: nothing is sent there."""
_TEMPORARY = 0x01
"""A flag in /proc/net/if_inet6 (IFA_F_TEMPORARY)."""


def facts_of(
    config: Config,
    addresses: tuple[IPv4Address | IPv6Address, ...] = (),
    accounts: Path = ACME_ACCOUNTS,
    dkim: tuple[DkimKey, ...] = (),
) -> Facts:
    """The facts of this host; `addresses` replace those that the host itself knows."""
    external = bool(config.tls_external_cert_and_key) or is_self_signed(config.mail_domain)
    with_ipv6 = not config.disable_ipv6
    return Facts(
        addresses=addresses or own_addresses(ipv6=with_ipv6),
        others=tuple(each for each in local_addresses() if with_ipv6 or each.version == 4),
        dkim=dkim,
        acme_issuer="" if external else LETS_ENCRYPT,
        acme_account="" if external else acme_account(accounts),
        reports_to=f"postmaster@{config.mail_domain}" if config.operator_address else "",
    )


def own_addresses(
    *, ipv6: bool = True, root: Path = Path("/")
) -> tuple[IPv4Address | IPv6Address, ...]:
    """The addresses that this host has on the Internet: one per family, none that is private.

    Each is the one that connections from here come from; a temporary IPv6 address (RFC 8981), which
    changes every day, is replaced by a lasting one.
    """
    lasting, found = local_addresses(root), []
    for family, far in _FAR if ipv6 else _FAR[:1]:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 53))  # chooses the source address; a datagram socket sends nothing
            address = ipaddress.ip_address(probe.getsockname()[0])
            same = [each for each in lasting if each.version == address.version]
            if address.is_global:
                found.append(address if address in same or not same else same[0])
    return tuple(found)


def local_addresses(root: Path = Path("/")) -> tuple[IPv4Address | IPv6Address, ...]:
    """All addresses of this host's interfaces that are public, without temporary ones."""
    found: list[IPv4Address | IPv6Address] = []
    with contextlib.suppress(OSError):
        trie = (root / "proc/net/fib_trie").read_text(encoding="ascii")
        local = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", trie)
        found += [IPv4Address(text) for text in local]
    with contextlib.suppress(OSError):
        for line in (root / "proc/net/if_inet6").read_text(encoding="ascii").splitlines():
            text, _index, _length, _scope, flags, _interface = line.split()
            if not int(flags, 16) & _TEMPORARY:
                found.append(IPv6Address(int(text, 16)))
    return tuple(dict.fromkeys(each for each in found if each.is_global))


def acme_account(accounts: Path = ACME_ACCOUNTS) -> str:
    """The URI of the ACME account that certbot uses; empty where there is none."""
    for path in sorted(accounts.glob("*/regr.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(path.read_text(encoding="utf-8"))["uri"])
    return ""
