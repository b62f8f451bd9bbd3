"""The METADATA entry `turn`: credentials from the relay's TURN server, or from its secret.

A TURN server's socket answers a connection with one line, `<unix-expiry>:<password>`, and closes
it. It is asked rarely: what it issued is the answer to everybody for a part of its life, and after
a failure it is left alone for a while, so that a slow one holds up one client and not each.
"""

import asyncio
from pathlib import Path
from typing import Protocol

from metadata.entries import turn
from metadata.entries.operatorfile import OperatorFile, Trouble
from metadata.entries.turn import Credentials, TurnUnavailable
from relay.config import Config

TIMEOUT_SECONDS = 1.0
"""For the socket's whole answer."""
REUSE_SECONDS = 3600.0
"""At most, and an eighth of their life: a TURN server that forgot them is back within the hour."""
RESPITE_SECONDS = 10.0
"""After a failure."""
_MAX_LINE = 1024


class Issuer(Protocol):
    """Where credentials come from."""

    async def credentials(self, now: float, /) -> Credentials:
        """Return those of `now`, in seconds since the epoch; raises TurnUnavailable."""


class Turn:
    """Answers the entry, and reports its trouble."""

    def __init__(self, config: Config) -> None:
        self._port = config.turn_port
        self._trouble = Trouble("turn")
        self._issuer: Issuer | None = None
        if config.turn_secret_path is not None:
            self._issuer = SecretIssuer(config.turn_secret_path, self._trouble)
        elif config.turn_socket_path is not None:
            self._issuer = SocketIssuer(config.turn_socket_path, self._trouble)
        self._host = ""
        if self._issuer is not None:
            self._name_host(config.mail_domain)

    async def entry(self, now: float) -> str | None:
        """Return the answer to clients at `now`, None if there is none."""
        if self._issuer is None:
            return None
        try:
            credentials = await self._issuer.credentials(now)
        except TurnUnavailable as error:
            self._trouble.report(str(error))
            return None
        return turn.entry(self._host, self._port, credentials)

    def _name_host(self, mail_domain: str) -> None:
        try:
            self._host = turn.host(mail_domain)
        except TurnUnavailable as error:
            self._trouble.report(str(error))
            self._issuer = None


class SecretIssuer:
    """Derives them from the secret shared with the TURN server, read anew when it changes."""

    def __init__(self, path: Path, trouble: Trouble) -> None:
        self._path = path
        self._trouble = trouble
        self._secret = OperatorFile(path, _MAX_LINE, _secret)

    async def credentials(self, now: float) -> Credentials:
        """As `Issuer` says."""
        try:
            secret = await asyncio.to_thread(self._secret.read)
        except OSError as error:
            raise TurnUnavailable(
                f"turn_secret_path, {self._path}, cannot be read: {error.strerror}; "
                "put the secret there for the user of this service, or remove the key"
            ) from None
        except ValueError:
            raise TurnUnavailable(
                f"turn_secret_path, {self._path}, is not one line of at most {_MAX_LINE} octets; "
                "put the TURN server's static-auth-secret there and nothing else"
            ) from None
        self._trouble.over()
        return turn.from_secret(secret, now)


class SocketIssuer:
    """Asks the TURN server's socket."""

    def __init__(self, path: Path, trouble: Trouble) -> None:
        self._path = path
        self._trouble = trouble
        self._asking = asyncio.Lock()
        self._held: Credentials | None = None
        self._asked = 0.0
        self._ask_after = 0.0
        self._failure = ""

    async def credentials(self, now: float) -> Credentials:
        """As `Issuer` says; callers that come while the socket is asked wait for its one answer."""
        # A clock that was set back would keep what is held for too long.
        if not self._asked <= now < self._ask_after:
            async with self._asking:
                if not self._asked <= now < self._ask_after:
                    await self._ask(now)
        if self._held is not None and self._held.lasts(now):
            return self._held
        raise TurnUnavailable(self._failure or "credentials that ended while they were held")

    async def _ask(self, now: float) -> None:
        try:
            issued = await _issued(self._path, now)
        except TurnUnavailable as error:
            # What is held is still valid: a server that restarts ends no call.
            self._failure = f"turn_socket_path: {error}"
            self._trouble.report(self._failure)
            wait = RESPITE_SECONDS
        else:
            self._held, self._failure = issued, ""
            self._trouble.over()
            life = issued.expiry - now
            wait = max(min(REUSE_SECONDS, life / 8, life - turn.MIN_LIFE), RESPITE_SECONDS)
        self._asked, self._ask_after = now, now + wait


def _secret(content: bytes) -> bytes:
    secret = content.strip()
    if not secret or b"\n" in secret or b"\0" in secret:
        raise ValueError("no secret")
    return secret


async def _issued(path: Path, now: float) -> Credentials:
    """Return what the socket at `path` issues at `now`; raises TurnUnavailable."""
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
    issued = turn.parse(line)
    if not issued.lasts(now):
        hours = turn.MIN_LIFE // 3600
        raise TurnUnavailable(
            f"it issues credentials of less than {hours} h: clients would ask again and again; "
            "let the TURN server issue longer ones"
        )
    return issued
