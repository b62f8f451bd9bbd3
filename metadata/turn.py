"""TURN credentials, from the socket of the relay's TURN server.

It answers a connection with one line, `<unix-expiry>:<password>`, and closes it.
"""

import asyncio
import re
from pathlib import Path

PORT = 3478
"""STUN and TURN (RFC 8656, 15)."""
TIMEOUT_SECONDS = 2.0
_CREDENTIALS = re.compile(rb"[0-9]{1,12}:[!-~]{1,256}")
_MAX_LINE = 1024


class TurnUnavailable(Exception):  # noqa: N818 - says what is the matter
    """No credentials can be had; the message says why and holds none."""


async def credentials(path: Path) -> str:
    """`<unix-expiry>:<password>` from the socket at `path`; raises TurnUnavailable."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MAX_LINE)
            try:
                line = (await reader.readline()).strip()
            finally:
                writer.close()
    except TimeoutError:
        raise TurnUnavailable(f"no answer within {TIMEOUT_SECONDS:g} s") from None
    except OSError as error:
        raise TurnUnavailable(error.strerror or type(error).__name__) from None
    except ValueError:
        raise TurnUnavailable("a line that does not end") from None
    if not _CREDENTIALS.fullmatch(line):
        raise TurnUnavailable("an answer that is not <unix-expiry>:<password>")
    return line.decode("ascii")


def server(mail_domain: str, issued: str) -> str:
    """What clients are told: `host:port:unix-expiry:password`.

    An IPv4 literal loses its brackets there. Raises TurnUnavailable for an IPv6 literal: clients
    split this at colons.
    """
    host = mail_domain.strip("[]")
    if ":" in host:
        raise TurnUnavailable("an IPv6 literal cannot stand in a TURN entry")
    return f"{host}:{PORT}:{issued}"
