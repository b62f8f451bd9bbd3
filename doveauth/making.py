"""Accounts that are being made: hashed on every core, stored together.

A login goes through two queues, each with threads of its own, and back to the event loop once: to
hand something to a thread and back costs a good part of what storing it costs. Hashing takes
milliseconds of a core without the interpreter's lock, so there are as many threads for it as there
are cores. Storing is waiting for the disk: one thread takes all that has been hashed meanwhile, and
the slower the disk is, the more share what it is waited for.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

from doveauth.hashing import hash_password, new_salt
from relay.mailbox.directory import Mailbox

Store = Callable[[list[tuple[Mailbox, str]]], Sequence[str | Exception]]
"""Stores accounts with their hashes; for each the hash that holds, or an exception."""


class Made(NamedTuple):
    """An account that is there now."""

    password_hash: str
    is_new: bool
    """Whether it was not there before, with another hash."""


@dataclass(slots=True)
class _Order:
    """An account to be made."""

    mailbox: Mailbox
    password: str
    salt: str
    made: asyncio.Future[Made]
    password_hash: str = ""


class Maker:
    """Makes accounts for one event loop; its threads begin with the first."""

    def __init__(self, store: Store, hashers: int, most: int) -> None:
        """`store` is given at most so many at a time, from one thread."""
        self._store = store
        self._most = most
        self._to_hash: SimpleQueue[_Order | None] = SimpleQueue()
        self._to_store: SimpleQueue[_Order | None] = SimpleQueue()
        self._hashing = [_thread("accounts-hash", self._hash_all) for _ in range(hashers)]
        self._storing = _thread("accounts-store", self._store_all)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def make(self, mailbox: Mailbox, password: str) -> Made:
        """Make an account; raises HashingFailed, and what `store` has for it."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            for thread in (*self._hashing, self._storing):
                thread.start()
        order = _Order(mailbox, password, new_salt(), loop.create_future())
        self._to_hash.put(order)
        return await order.made

    @property
    def waiting(self) -> int:
        """Accounts that have been hashed and wait to be stored."""
        return self._to_store.qsize()

    def close(self) -> None:
        """End the threads once what was asked is made; blocks until then."""
        if self._loop is None:
            return
        for _ in self._hashing:
            self._to_hash.put(None)
        for thread in self._hashing:
            thread.join()
        self._to_store.put(None)
        self._storing.join()

    def _hash_all(self) -> None:
        while (order := self._to_hash.get()) is not None:
            try:
                order.password_hash = hash_password(order.password, order.salt)
            except Exception as error:  # noqa: BLE001 - it is the asker's
                self._answer([order], [error])
            else:
                self._to_store.put(order)

    def _store_all(self) -> None:
        while batch := self._hashed():
            answers: Sequence[str | Exception]
            try:
                answers = self._store([(each.mailbox, each.password_hash) for each in batch])
            except Exception as error:  # noqa: BLE001 - it is the askers'
                answers = [error] * len(batch)
            self._answer(batch, answers)

    def _hashed(self) -> list[_Order]:
        """What is to be stored now; waits for one at least, and is empty at the end."""
        batch: list[_Order] = []
        while len(batch) < self._most and not (batch and self._to_store.empty()):
            order = self._to_store.get()
            if order is None:
                if batch:
                    self._to_store.put(None)
                break
            batch.append(order)
        return batch

    def _answer(self, orders: list[_Order], answers: Sequence[str | Exception]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(_deliver, orders, answers)


def _thread(name: str, run: Callable[[], None]) -> Thread:
    # A process that ends without close() is not kept: what is half-made then is no account.
    return Thread(target=run, name=name, daemon=True)


def _deliver(orders: list[_Order], answers: Sequence[str | Exception]) -> None:
    for order, answer in zip(orders, answers, strict=True):
        if order.made.cancelled():
            continue  # who asked has left
        if isinstance(answer, Exception):
            order.made.set_exception(answer)
        else:
            order.made.set_result(Made(answer, answer == order.password_hash))
