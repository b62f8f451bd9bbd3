"""Posts what is owed to the gateway, many requests at a time.

A push leaves the queue only after the gateway has answered for it. The request is the token and
nothing else: no header that tells of this relay, no cookie, no redirect followed. Tokens are
never logged, and neither is an error's text, which may hold one.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import aiohttp

from metadata.backoff import next_due, retry_after
from metadata.figures import Figures
from metadata.pushtable import Push
from metadata.queue import PushQueue
from metadata.store import NoMailbox, TokenStore
from relay.log import unexpected

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
"""For one whole request."""
WARN_SECONDS = 60.0
"""The least time between two warnings that pushes fail."""
_POLL_SECONDS = 60.0
_BODY_SECONDS = 2.0
_BODY_OCTETS = 4096
_NO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Outcome(Enum):
    """What became of a request."""

    TAKEN = "taken"
    GONE = "gone"
    FAILED = "failed"


class Answer(NamedTuple):
    """What the gateway said to a request."""

    outcome: Outcome
    wait: float = 0.0
    """Seconds it asked to wait."""


class Notifier:
    """Delivers the pushes of one queue to one gateway until it is cancelled."""

    def __init__(
        self,
        gateway: str,
        queue: PushQueue,
        tokens: TokenStore,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        max_in_flight: int = 100,
        timeout: float = TIMEOUT_SECONDS,
        figures: Figures | None = None,
    ) -> None:
        self._gateway = gateway
        self._queue = queue
        self._tokens = tokens
        self._clock = clock
        self._chance = chance
        self._max_in_flight = max_in_flight
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self.figures = figures or Figures()
        self._changed = asyncio.Event()
        self._warn_after = 0.0

    def wake(self) -> None:
        """Something is due that was not before."""
        self._changed.set()

    async def run(self) -> None:
        """Deliver for ever; once cancelled, requests under way are left to be tried again."""
        connector = aiohttp.TCPConnector(limit=self._max_in_flight)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NO_HEADERS,
        ) as session:
            try:
                while True:
                    await self._deliver_due_or_report(session)
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver_due_or_report(self, session: aiohttp.ClientSession) -> None:
        try:
            await self._deliver_due(session)
        except Exception as error:  # noqa: BLE001 - pushing goes on
            unexpected(log, "looking for pushes that are due", error)
            await asyncio.sleep(1)

    async def _deliver_due(self, session: aiohttp.ClientSession) -> None:
        """Start what is due, then wait until there may be more to do."""
        self._changed.clear()
        free = self._max_in_flight - self._in_flight
        wait: float | None = None  # at the limit, the next answer is what to wait for
        if free:
            claim = await self._queue.claim(self._clock(), free)
            for push in claim.pushes:
                self._start(session, push)
            if len(claim.pushes) == free:
                return
            wait = _POLL_SECONDS
            if claim.next_due is not None:
                wait = min(max(claim.next_due - self._clock(), 0.0), wait)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._changed.wait()

    def _start(self, session: aiohttp.ClientSession, push: Push) -> None:
        self._in_flight += 1
        self.figures.in_flight.set(self._in_flight)
        task = asyncio.ensure_future(self._deliver(session, push))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, session: aiohttp.ClientSession, push: Push) -> None:
        try:
            try:
                answer = await self._post(session, push.token)
            finally:
                # The request's place is free; that the database has it yet is not waited for.
                self._in_flight -= 1
                self.figures.in_flight.set(self._in_flight)
                self.wake()
            await self._settle(push, answer)
        except Exception as error:  # noqa: BLE001 - one push must not end the others
            unexpected(log, "a push", error)
        # What was settled may still be owed: a message came while its push was on the way.
        self.wake()

    async def _post(self, session: aiohttp.ClientSession, token: str) -> Answer:
        try:
            async with session.post(
                self._gateway, data=token.encode(), allow_redirects=False
            ) as answer:
                await _finish(answer)
                status, asked = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._warn(type(error).__name__)
            return Answer(Outcome.FAILED)
        if 200 <= status < 300:
            return Answer(Outcome.TAKEN)
        if status == 410:
            return Answer(Outcome.GONE)
        self._warn(f"HTTP {status}")
        return Answer(Outcome.FAILED, retry_after(asked, self._clock()))

    async def _settle(self, push: Push, answer: Answer) -> None:
        self.figures.came(answer.outcome.value)
        match answer.outcome:
            case Outcome.TAKEN:
                self.figures.took(self._clock() - push.queued)
                await self._queue.done(push)
            case Outcome.GONE:
                # The row goes last: should the token not go from the disk, it is tried again.
                with contextlib.suppress(NoMailbox):
                    await self._tokens.remove(push.address, push.token)
                await self._queue.give_up(push)
            case Outcome.FAILED:
                due = next_due(
                    self._clock(), push.queued, push.failures + 1, self._chance(), answer.wait
                )
                if due is None:
                    self.figures.came("given_up")
                    log.info("a push was given up after its deadline")
                    await self._queue.give_up(push)
                else:
                    await self._queue.postpone(push, due)

    def _warn(self, what: str) -> None:
        log.debug("a push failed: %s", what)
        now = asyncio.get_running_loop().time()
        if now >= self._warn_after:
            self._warn_after = now + WARN_SECONDS
            log.warning("pushes fail at the gateway and are tried again: %s", what)


async def _finish(answer: aiohttp.ClientResponse) -> None:
    """Read the few octets that follow the status, so that the connection serves the next push."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_BODY_SECONDS):
            await answer.content.read(_BODY_OCTETS)
