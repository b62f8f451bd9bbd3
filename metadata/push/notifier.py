"""Posts what is owed to the gateway, many requests at a time.

A push leaves the queue only after the gateway has answered for it. The request is the token and
nothing else: no header that tells of this relay, no cookie, no redirect followed. Tokens are
never logged, and neither is an error's text, which may hold one.

How many requests are under way is the breaker's to say (`metadata.push.breaker`): a gateway that is
down is probed and no more. What waited meanwhile was not tried, and is due when it is well again.
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

from metadata.figures import Figures
from metadata.push.backoff import next_due, retry_after
from metadata.push.breaker import Breaker
from metadata.push.queue import PushQueue
from metadata.push.table import Push
from metadata.tokens.files import NoMailbox, TokenStore
from relay.log import unexpected

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
"""For one whole request."""
CONNECT_SECONDS = 10.0
"""For its connection: a gateway that is not there is noticed sooner than one that is slow."""
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
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        max_in_flight: int = 100,
        timeout: float = TIMEOUT_SECONDS,
        figures: Figures | None = None,
    ) -> None:
        self._gateway = gateway
        self._queue = queue
        self._tokens = tokens
        self._clock = clock
        self._monotonic = monotonic
        self._chance = chance
        self._max_in_flight = max_in_flight
        self._breaker = Breaker(max_in_flight)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self.figures = figures or Figures()
        self.figures.in_flight.set_function(lambda: self._in_flight)
        self.figures.shut.set_function(lambda: self._breaker.is_shut)
        self._changed = asyncio.Event()
        self._warn_after = 0.0

    def wake(self) -> None:
        """Something is due that was not before."""
        self._changed.set()

    @property
    def is_busy(self) -> bool:
        """Whether a push is under way, or what became of it is being stored."""
        return bool(self._tasks)

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
        room = self._breaker.room(self._monotonic(), self._in_flight)
        wait: float | None = None
        if room:
            claim = await self._queue.claim(self._clock(), room)
            for push in claim.pushes:
                self._start(session, push)
            if len(claim.pushes) == room:
                return
            if claim.next_due is not None:
                wait = claim.next_due - self._clock()
        elif (probe := self._breaker.next_probe(self._in_flight)) is not None:
            wait = probe - self._monotonic()
        # Without room, the next answer makes some.
        wait = _POLL_SECONDS if wait is None else min(max(wait, 0.0), _POLL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._changed.wait()

    def _start(self, session: aiohttp.ClientSession, push: Push) -> None:
        self._breaker.began(push.id, self._monotonic())
        self._in_flight += 1
        task = asyncio.create_task(self._deliver(session, push))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, session: aiohttp.ClientSession, push: Push) -> None:
        try:
            answer = await self._post(session, push.token)
        finally:
            # The request's place is free; that the database has it yet is not waited for.
            self._in_flight -= 1
        try:
            outage_is_over = self._judge(push, answer)
            self.wake()
            await self._settle(push, answer)
            if outage_is_over:
                await self._queue.hurry()
                self.wake()
        except Exception as error:  # noqa: BLE001 - one push must not end the others
            unexpected(log, "settling a push", error)

    def _judge(self, push: Push, answer: Answer) -> bool:
        """Tell the breaker what became of a push; whether an outage is over."""
        now, was_shut = self._monotonic(), self._breaker.is_shut
        over = False
        if answer.outcome is Outcome.FAILED:
            self._breaker.failed(push.id, now, self._chance(), answer.wait)
        else:
            over = self._breaker.succeeded(now)
        is_shut = self._breaker.is_shut
        if is_shut and not was_shut:
            log.warning("the push gateway takes nothing: it is probed until it does; pushes wait")
        elif was_shut and not is_shut:
            log.warning("the push gateway takes pushes again; what has waited follows")
        return over

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
        except Exception as error:  # noqa: BLE001 - the unexpected is temporary
            unexpected(log, "a push", error)
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
                if await self._queue.done(push, self._clock()):
                    # A message came while its push was on the way.
                    self.wake()
            case Outcome.GONE:
                await self._forget(push)
            case Outcome.FAILED:
                await self._try_again(push, answer.wait)

    async def _forget(self, push: Push) -> None:
        """Forget a token that is gone; the row goes last."""
        try:
            with contextlib.suppress(NoMailbox):
                await self._tokens.remove(push.address, push.token)
        except OSError as error:
            log.warning("a token that is gone cannot be removed: %s", error.strerror)
            await self._try_again(push, 0.0)
        else:
            await self._queue.give_up(push)

    async def _try_again(self, push: Push, asked: float) -> None:
        due = next_due(self._clock(), push.queued, push.failures + 1, self._chance(), asked)
        if due is None:
            self.figures.came("given_up")
            log.info("a push was given up after its deadline")
            await self._queue.give_up(push)
        else:
            await self._queue.postpone(push, due)
            # Its next try may be what is to be waited for.
            self.wake()

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
