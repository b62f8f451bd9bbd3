"""Delivers what is owed to the gateway, many requests at a time.

1. A push leaves the queue only after the gateway has answered for it.
2. How many requests are under way is the breaker's decision (`metadata.push.breaker`): a gateway
   that is down is probed and no more. What waited meanwhile was not tried, and is due when the
   gateway is well again.
3. No address has more than a few requests under way, and suspects have a twentieth of the room,
   so that no user can use it up.
4. A push that fails goes back to the queue (`metadata.push.backoff`). Its token is forgotten once
   the gateway says that it is gone, or once it has failed often while others are taken.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from metadata.push.backoff import TOKEN_FAILURES, next_due
from metadata.push.breaker import Breaker
from metadata.push.figures import PushFigures
from metadata.push.protocol import Answer, Claim, Gateway, Outcome, Push, PushQueue
from metadata.tokens.protocol import NoMailbox, TokenStore, TokensUnavailable
from relay.log import unexpected

log = logging.getLogger(__name__)

OF_ONE_ADDRESS = 8
"""Requests under way for an address that gets no more. What one claim finds may exceed it."""
_POLL_SECONDS = 60.0
_PUT_BACK_SECONDS = 60.0
"""Until a push is tried again whose settling met the unforeseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a notifier is given beside its parts; tests turn the clocks and fix the chance."""

    most: int = 100
    """Requests at a time."""
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


class Notifier:
    """Delivers the pushes of one queue to one gateway until it is cancelled."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Gateway]],
        queue: PushQueue,
        tokens: TokenStore,
        figures: PushFigures,
        settings: Settings = Settings(),
    ) -> None:
        """`connect` is called once, when the first push is due."""
        self._connect = connect
        self._queue = queue
        self._tokens = tokens
        self._figures = figures
        self._clock = settings.clock
        self._monotonic = settings.monotonic
        self._chance = settings.chance
        self._gateway: Gateway | None = None
        self._breaker = Breaker(settings.most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: Counter[str] = Counter()
        self._changed = asyncio.Event()
        # Whether there may be more that is due, which only waits for an answer to make room.
        self._starved = True
        figures.in_flight.set_function(lambda: self._under_way.total())
        figures.shut.set_function(lambda: self._breaker.is_shut)

    def wake(self) -> None:
        """Something is due that was not before."""
        self._changed.set()

    async def run(self) -> None:
        """Deliver for ever; once cancelled, requests under way are left to be tried again."""
        try:
            while True:
                await self._deliver_due_or_report()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._gateway is not None:
                await self._gateway.close()

    async def _deliver_due_or_report(self) -> None:
        try:
            await self._deliver_due()
        except Exception as error:  # noqa: BLE001 - pushing goes on
            unexpected(log, "looking for pushes that are due", error)
            await asyncio.sleep(1)

    async def _deliver_due(self) -> None:
        """Start what is due, then wait until there may be more to do."""
        self._changed.clear()
        self._starved = True
        room = self._breaker.room(self._monotonic(), self._under_way.total())
        wait: float | None = None
        if self._gateway is None and (await self._queue.backlog())[0]:
            self._gateway = await self._connect()
        if room and self._gateway is not None:
            passed_over = self._passed_over()
            claim = await self._claim(room, passed_over)
            for push in claim.pushes:
                self._start(self._gateway, push)
            if len(claim.pushes) == room:
                return
            self._starved = self._breaker.is_shut or bool(passed_over)
            if claim.next_due is not None:
                wait = claim.next_due - self._clock()
        elif (probe := self._breaker.next_probe(self._under_way.total())) is not None:
            wait = probe - self._monotonic()
        # Without room, the next answer makes some.
        wait = _POLL_SECONDS if wait is None else min(max(wait, 0.0), _POLL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._changed.wait()

    def _busy(self) -> list[str]:
        return [who for who, count in self._under_way.items() if count >= OF_ONE_ADDRESS]

    def _passed_over(self) -> list[str]:
        """Who is served last, or not now."""
        return [*self._busy(), *self._breaker.suspects]

    async def _claim(self, room: int, passed_over: Sequence[str]) -> Claim:
        breaker, now = self._breaker, self._clock()
        if breaker.is_shut:
            return await self._queue.claim_probe(now, breaker.failing, breaker.taken)
        claim = await self._queue.claim(now, room, passed_over)
        suspects = breaker.suspects
        theirs = sum(count for who, count in self._under_way.items() if who in suspects)
        left = min(room - len(claim.pushes), breaker.room_of_suspects - theirs)
        if suspects and left > 0:
            more = await self._queue.claim(now, left, self._busy())
            claim = Claim([*claim.pushes, *more.pushes], more.next_due)
        return claim

    def _start(self, gateway: Gateway, push: Push) -> None:
        self._breaker.began(push.address, self._monotonic())
        self._under_way[push.address] += 1
        task = asyncio.create_task(self._deliver(gateway, push))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, gateway: Gateway, push: Push) -> None:
        try:
            answer = await gateway.post(push.token)
        finally:
            # The request's place is free; the database need not know of it yet.
            self._under_way[push.address] -= 1
            if not self._under_way[push.address]:
                del self._under_way[push.address]
        try:
            outage_is_over = self._judge(push, answer)
            if self._starved:
                self.wake()
            await self._settle(push, answer)
            if outage_is_over:
                await self._queue.hurry()
                self.wake()
        except Exception as error:  # noqa: BLE001 - one push must not end the others
            unexpected(log, "settling a push", error)
            await self._let_go(push)

    async def _let_go(self, push: Push) -> None:
        """Leave no push claimed: nobody would try it before the next start."""
        try:
            await self._queue.postpone(push, self._clock() + _PUT_BACK_SECONDS)
        except Exception as error:  # noqa: BLE001 - as above
            unexpected(log, "putting a push back", error)

    def _judge(self, push: Push, answer: Answer) -> bool:
        """Let the breaker know what became of a push. Return whether an outage is over."""
        now, was_shut = self._monotonic(), self._breaker.is_shut
        over = False
        match answer.outcome:
            case Outcome.FAILED:
                self._breaker.failed(push.address, now, self._chance(), answer.wait)
            case Outcome.REFUSED:
                over = self._breaker.refused(push.address)
            case Outcome.TAKEN | Outcome.GONE:
                over = self._breaker.succeeded(push.address, push.token, now)
        is_shut = self._breaker.is_shut
        if is_shut and not was_shut:
            log.warning("the push gateway takes nothing: it is probed until it does; pushes wait")
        elif was_shut and not is_shut:
            log.warning("the push gateway takes pushes again; what has waited follows")
        return over

    async def _settle(self, push: Push, answer: Answer) -> None:
        self._figures.came(answer.outcome.value)
        match answer.outcome:
            case Outcome.TAKEN:
                self._figures.took(self._clock() - push.queued)
                if await self._queue.done(push, self._clock()):
                    # A message came while its push was on the way.
                    self.wake()
            case Outcome.GONE:
                await self._forget(push)
            case Outcome.FAILED | Outcome.REFUSED:
                await self._try_again_or_give_up(push, answer.wait)

    async def _try_again_or_give_up(self, push: Push, asked: float) -> None:
        failures = push.failures + 1
        if failures >= TOKEN_FAILURES and self._breaker.is_well(self._monotonic()):
            self._figures.came("given_up")
            log.info("a token was forgotten: it fails while others are taken")
            await self._forget(push)
        else:
            await self._try_again(push, asked)

    async def _forget(self, push: Push) -> None:
        """Forget a token; the row goes last."""
        try:
            with contextlib.suppress(NoMailbox):
                await self._tokens.remove(push.address, push.token)
        except TokensUnavailable as error:
            log.warning("a token that is gone cannot be removed: %s", error)
            await self._try_again(push, 0.0)
        else:
            await self._queue.give_up(push)

    async def _try_again(self, push: Push, asked: float) -> None:
        due = next_due(self._clock(), push.queued, push.failures + 1, self._chance(), asked)
        if due is None:
            self._figures.came("given_up")
            log.info("a push was given up after its deadline")
            await self._queue.give_up(push)
        else:
            await self._queue.postpone(push, due)
            # The retry may now be the next thing due.
            self.wake()
