"""Short questions to the disk, asked in threads, many in one hop.

To hand a question to a thread and its answer back costs more than to read a small file. So what
comes in one turn of the loop goes to a thread together, and the answers come back together. A
batch has an end: a slow disk holds up those in it, and not everybody.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

MAX_BATCH = 32

T = TypeVar("T")
_Question = tuple[Callable[[], Any], asyncio.Future[Any]]


class Reader:
    """Asks questions in threads of its own, for one event loop."""

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, name)
        self._waiting: list[_Question] = []

    async def ask(self, question: Callable[[], T]) -> T:
        """What `question` returns or raises, asked in a thread."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._hand_over, loop)
        self._waiting.append((question, answer))
        return await answer

    def close(self) -> None:
        """End the threads once what was asked is answered; blocks until then."""
        self._threads.shutdown()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MAX_BATCH):
            self._threads.submit(_ask, loop, waiting[start : start + MAX_BATCH])


def _ask(loop: asyncio.AbstractEventLoop, batch: list[_Question]) -> None:
    answers: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
    for question, answer in batch:
        try:
            answers.append((answer, question(), None))
        except Exception as error:  # noqa: BLE001 - it is the asker's
            answers.append((answer, None, error))
    loop.call_soon_threadsafe(_deliver, answers)


def _deliver(answers: list[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
    for answer, result, error in answers:
        if answer.cancelled():
            continue  # who asked has left
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)
