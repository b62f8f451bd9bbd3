"""Mail addresses: the only parser of them, and the only source of a mailbox's name.

An `Address` is a value to compare and to look up with, so it is held in lower case:
Dovecot folds user names (`auth_username_format = %Lu`) and so does the mailbox directory.
The wire form of an address is passed on as it came, never rebuilt from here.
"""

import functools
import ipaddress
import re
import string
from dataclasses import dataclass

MAX_LOCAL = 64
"""Octets of a local part (RFC 5321, 4.5.3.1.1)."""
MAX_DOMAIN = 255
"""Octets of a domain (RFC 5321, 4.5.3.1.2)."""
MAX_ADDRESS = 254
"""Octets of a whole address: a path of 256 less its angle brackets (RFC 5321, 4.5.3.1.3)."""

# The classes name what is not allowed: up to U+00A0 there is a list, and beyond it everything that
# is UTF-8 is allowed (RFC 6532, 3.1). Python's tables for the opposite take 65,536 octets each.
# RFC 5322 atext, extended by RFC 6532, 3.2.
_ATEXT = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f-\xa0]'
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
# RFC 5321 quoted-string, printable characters only.
_QUOTED = re.compile(r'"(?:[^\x00-\x1f"\\\x7f-\xa0]|\\[ -~])*"')
# Labels may begin with "_": test relays use such domains, and their clients skip the chain check.
_ALNUM = r"[^\x00-/:-@\[-^`{-\xa0]"
_LABEL = rf"{_ALNUM}(?:(?:{_ALNUM}|-){{0,61}}{_ALNUM})?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# What may become a directory: no separator, no leading dot, no "+" (Postfix' recipient delimiter).
_MAILBOX_LOCAL = re.compile(r"[a-z0-9_-](?:\.?[a-z0-9_-])*")
# Case is folded in ASCII alone, as Dovecot does: Unicode folds the Kelvin sign to the letter k,
# and so would make one address out of two.
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class InvalidAddress(ValueError):
    """The text is no address. Its message never repeats the text: it may end up in a log."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox address in lower case (RFC 5321, 4.1.2; RFC 6531 for what lies beyond ASCII)."""

    local: str
    domain: str

    @classmethod
    @functools.lru_cache(maxsize=1024)  # a message names its sender twice, a chat its members daily
    def parse(cls, text: str) -> "Address":
        """Read `local@domain`; raises InvalidAddress."""
        local, at, domain = text.rpartition("@")
        if not at:
            raise InvalidAddress("no @ in the address")
        if _octets(text) > MAX_ADDRESS:
            raise InvalidAddress(f"an address has at most {MAX_ADDRESS} octets")
        if _octets(local) > MAX_LOCAL:
            raise InvalidAddress(f"a local part has at most {MAX_LOCAL} octets")
        if not (_DOT_ATOM.fullmatch(local) or _QUOTED.fullmatch(local)):
            raise InvalidAddress("the local part is neither a dot-atom nor a quoted string")
        return cls(local.translate(_FOLD), parse_domain(domain))

    def mailbox_name(self) -> str:
        """The name of this address's directory; raises InvalidAddress where it cannot be one."""
        if not _MAILBOX_LOCAL.fullmatch(self.local):
            raise InvalidAddress("a local part here has a-z, 0-9, '-', '_' and single inner dots")
        if not self.domain.isascii():
            raise InvalidAddress("a mailbox's domain is in ASCII (A-labels)")
        return f"{self.local}@{self.domain}"

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse_domain(text: str) -> str:
    """A domain or address literal in its one spelling; raises InvalidAddress.

    Literals are `[1.2.3.4]` and `[IPv6:…]` (RFC 5321, 4.1.3); the latter is put in its
    compressed form so that two spellings of one address compare equal.
    """
    if text.startswith("[") and text.endswith("]"):
        return _parse_literal(text[1:-1])
    if _octets(text) > MAX_DOMAIN or not _DOMAIN.fullmatch(text):
        raise InvalidAddress("the domain is neither a host name nor an address literal")
    return text.translate(_FOLD)


def _octets(text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidAddress("a surrogate, which is no character") from None


def _parse_literal(inside: str) -> str:
    tag, colon, rest = inside.partition(":")
    try:
        if colon and tag.lower() == "ipv6":
            address = ipaddress.IPv6Address(rest)
            if address.scope_id is None:
                # Spelt out, because Python 3.13 changed how it writes these.
                mapped = address.ipv4_mapped
                return f"[ipv6:::ffff:{mapped}]" if mapped else f"[ipv6:{address.compressed}]"
        elif not colon:
            return f"[{ipaddress.IPv4Address(inside)}]"
    except ValueError:
        pass  # the one answer below covers every malformed literal
    raise InvalidAddress("an address literal is [1.2.3.4] or [IPv6:…]")
