"""TURN credentials: read, derived from a shared secret, written for clients. Pure.

The expiry is the user name as well, as in the REST scheme of coturn (`use-auth-secret`), which is
draft-uberti-behave-turn-rest-00, 2.2: the name is the second at which it ends, and the password
the HMAC-SHA1 of the name.
"""

import base64
import hmac
import re
from dataclasses import dataclass, field

PORT = 3478
"""STUN and TURN (RFC 8656, 15)."""
MIN_LIFE = 12 * 3600
"""Seconds: with less to go, clients ask again each time they wake."""
ISSUED_LIFE = 72 * 3600
"""Seconds, at most, that credentials from the secret are good for."""
ISSUED_GRAIN = 3600
"""Seconds: everybody who asks within them has the same answer, so it distinguishes nobody."""

_LINE = re.compile(rb"([1-9][0-9]{0,11}):([!-~]{1,256})")


class TurnUnavailable(Exception):
    """There are no credentials; the message says why and holds none."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What lets a client use the TURN server until `expiry`, in seconds since the epoch."""

    expiry: int
    password: str = field(repr=False)

    def lasts(self, now: float) -> bool:
        """Return whether a client that has them now need not ask again when it next wakes."""
        return self.expiry - now >= MIN_LIFE


def parse(line: bytes) -> Credentials:
    """Read `<unix-expiry>:<password>`; raises TurnUnavailable."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise TurnUnavailable("an answer that is not <unix-expiry>:<password>")
    return Credentials(int(match[1]), match[2].decode("ascii"))


def from_secret(secret: bytes, now: float) -> Credentials:
    """Return the credentials for everybody who asks at `now`, in seconds since the epoch."""
    begun = int(now) // ISSUED_GRAIN * ISSUED_GRAIN
    expiry = begun + ISSUED_LIFE
    digest = hmac.digest(secret, str(expiry).encode("ascii"), "sha1")
    return Credentials(expiry, base64.b64encode(digest).decode("ascii"))


def host(mail_domain: str) -> str:
    """Return the relay's name in the entry; an IPv4 literal loses its brackets.

    Raises TurnUnavailable for an IPv6 literal: clients split the entry at colons.
    """
    name = mail_domain.strip("[]")
    if ":" in name:
        raise TurnUnavailable("an IPv6 literal cannot stand in a TURN entry")
    return name


def entry(name: str, port: int, credentials: Credentials) -> str:
    """Return the answer to clients: `host:port:unix-expiry:password`."""
    return f"{name}:{port}:{credentials.expiry}:{credentials.password}"
