"""The push gateway over HTTP: one POST per push, the token and nothing else.

No header tells of this relay, there is no cookie, and no redirect is followed. Tokens are never
logged, and neither is an error's text, which may hold one.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import aiohttp

from metadata.push.backoff import retry_after
from metadata.push.protocol import Answer, Outcome
from relay.log import unexpected

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
"""For one whole request."""
CONNECT_SECONDS = 10.0
"""For its connection: a gateway that is not there is noticed sooner than one that is slow."""
WARN_SECONDS = 60.0
"""The least time between two warnings that pushes fail."""
_BODY_SECONDS = 2.0
_BODY_OCTETS = 4096
_NO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_TOO_MANY = 429


class HttpGateway:
    """A Gateway at a URL. For one event loop, in which it is made."""

    def __init__(
        self,
        url: str,
        most: int,
        clock: Callable[[], float] = time.time,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """`most`: connections at a time; `timeout`: seconds for one whole request."""
        self._url = url
        self._clock = clock
        self._warn_after = 0.0
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=most),
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NO_HEADERS,
        )

    async def post(self, token: str) -> Answer:
        """As `Gateway` says."""
        try:
            async with self._session.post(
                self._url, data=token.encode(), allow_redirects=False
            ) as answer:
                await _finish(answer)
                return self._judged(answer.status, answer.headers.get("Retry-After", ""))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._warn(type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the unexpected is temporary
            unexpected(log, "a push", error)
        return Answer(Outcome.FAILED)

    async def close(self) -> None:
        """As `Gateway` says."""
        await self._session.close()

    def _judged(self, status: int, asked: str) -> Answer:
        if 200 <= status < 300:
            return Answer(Outcome.TAKEN)
        if status == 410:
            return Answer(Outcome.GONE)
        self._warn(f"HTTP {status}")
        its_own = 400 <= status < 500 and status != _TOO_MANY
        return Answer(
            Outcome.REFUSED if its_own else Outcome.FAILED, retry_after(asked, self._clock())
        )

    def _warn(self, what: str) -> None:
        log.debug("a push failed: %s", what)
        now = asyncio.get_running_loop().time()
        if now >= self._warn_after:
            self._warn_after = now + WARN_SECONDS
            log.warning("pushes fail at the gateway and are tried again: %s", what)


async def _finish(answer: aiohttp.ClientResponse) -> None:
    """Read the few octets that follow the status, so that the connection serves the next push."""
    if answer.content.at_eof():
        return
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_BODY_SECONDS):
            await answer.content.read(_BODY_OCTETS)
