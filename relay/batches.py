"""Short questions to the disk in threads, many of them in one hop.

To hand a question to a thread and its answer back costs more than to read a small file. So what
waits goes to a thread together, and the answers come back together. One thread does it for as long
as the disk is quick, as two would only contend for the interpreter's lock; when a batch is not back
in time, another thread goes on: a slow disk holds up those who ask for what is slow.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

STALLED_SECONDS = 0.01
"""A batch that is not back by then leaves its place to the next."""

T = TypeVar("T")
_Asked = tuple[Callable[[], Any], asyncio.Future[Any]]


class Reader:
    """Questions of any kind, each a function, at most `size` in a hop, for one event loop."""

    def __init__(self, threads: int, size: int) -> None:
        self._threads = ThreadPoolExecutor(threads)
        self._most = threads
        self._size = size
        self._waiting: deque[_Asked] = deque()
        self._under_way = 0
        self._begun = 0.0
        self._watching = False

    async def ask(self, question: Callable[[], T]) -> T:
        """What `question` returns or raises, asked in a thread."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.append((question, answer))
        if not self._under_way and len(self._waiting) == 1:
            # At the end of this turn of the loop, when whoever else asks in it has asked.
            loop.call_soon(self._hand_over, loop)
        return await answer

    def close(self) -> None:
        """End the threads once what was asked is answered; blocks until then."""
        self._threads.shutdown()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._size))]
        if not batch:
            return
        self._under_way += 1
        self._begun = loop.time()
        self._threads.submit(self._answer, loop, batch)
        if not self._watching:
            self._watching = True
            loop.call_later(STALLED_SECONDS, self._watch, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let another thread go on where the last batch is not back in time."""
        self._watching = self._under_way > 0
        if not self._watching:
            return
        stalled = loop.time() - self._begun >= STALLED_SECONDS
        if stalled and self._waiting and self._under_way < self._most:
            self._hand_over(loop)
        loop.call_later(STALLED_SECONDS, self._watch, loop)

    def _answer(self, loop: asyncio.AbstractEventLoop, batch: list[_Asked]) -> None:
        answers = []
        for question, _ in batch:
            try:
                answers.append(question())
            except Exception as error:  # noqa: BLE001 - it is the asker's
                answers.append(error)
        loop.call_soon_threadsafe(self._deliver, loop, batch, answers)

    def _deliver(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Asked], answers: list[Any]
    ) -> None:
        self._under_way -= 1
        self._hand_over(loop)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.cancelled():
                continue  # who asked has left
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
