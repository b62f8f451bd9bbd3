"""Messages through a relay: from submission until the receivers' clients know of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import msgspec

from bench.figures import percentile
from bench.filter.messages import SENDER, message
from bench.relay.clients import Inbox, Submission
from bench.relay.programs import Ledger
from bench.relay.stand import accounts
from sandbox.login import Login
from sandbox.relay import Sandbox

PAIRS = 8
"""Senders, each of whom writes to one receiver."""
HIBERNATED_SECONDS = 2.5
"""After which an idle session has gone to hibernation."""
LOOK_SECONDS = 0.2


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and how."""

    size: int
    """Octets of a message."""
    messages: int
    kept: bool
    """On a connection per sender, or on a new one per message."""
    per_s: float | None = None
    """How many a second; None: as fast as answers come."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What a load came to. Latencies are from a message's 250 to its EXISTS."""

    messages: int
    per_s: float
    """Messages a second until the last receiver has its last EXISTS."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    """Processor time per message, of all processes."""
    programs: dict[str, float]
    """The same by program."""


async def deliver(sandbox: Sandbox, load: Load) -> Delivered:
    """Send, and wait until each receiver knows of each message. Raises BenchProblem."""
    senders, receivers = accounts(sandbox, PAIRS), accounts(sandbox, PAIRS)
    async with idle_clients(sandbox, receivers) as inboxes:
        pairs = [
            Pair(sandbox.ports, sender, receiver, inbox, load)
            for sender, receiver, inbox in zip(senders, receivers, inboxes, strict=True)
        ]
        # The first message of each pair starts processes and fills caches: it is not counted.
        await asyncio.gather(*(pair.first() for pair in pairs))
        await asyncio.sleep(HIBERNATED_SECONDS)
        ledger = Ledger(sandbox)
        ledger.begin()
        began = time.monotonic()
        looking = asyncio.ensure_future(_look(ledger))
        each = load.messages // PAIRS
        await asyncio.gather(*(pair.run(each, at, began) for at, pair in enumerate(pairs)))
        seconds = max(pair.last() for pair in pairs) - began
        looking.cancel()
        programs = ledger.end()
        for pair in pairs:
            await pair.close()
    latencies = sorted(each for pair in pairs for each in pair.latencies())
    return summed_up(latencies, seconds, programs)


def summed_up(latencies: Sequence[float], seconds: float, programs: dict[str, float]) -> Delivered:
    """The figures of a load; `latencies` ascend, all times are in seconds."""
    count = len(latencies)
    return Delivered(
        messages=count,
        per_s=count / seconds,
        p50_ms=percentile(latencies, 50) * 1e3,
        p95_ms=percentile(latencies, 95) * 1e3,
        p99_ms=percentile(latencies, 99) * 1e3,
        cpu_ms=sum(programs.values()) / count * 1e3,
        programs={name: spent / count * 1e3 for name, spent in programs.items()},
    )


class Pair:
    """A sender and its receiver."""

    def __init__(
        self, ports: dict[str, int], sender: Login, receiver: Login, inbox: Inbox, load: Load
    ) -> None:
        self._ports = ports
        self._sender = sender
        self._receiver = receiver
        self._inbox = inbox
        self._load = load
        letter = message(load.size - len(sender.address) + len(SENDER))
        self._letter = letter.replace(SENDER.encode(), sender.address.encode())
        self._client: Submission | None = None
        self._sent: list[float] = []

    async def first(self) -> None:
        """Send one message that is not counted."""
        await self._send()
        await self._inbox.wait_for(1)
        self._sent.clear()

    async def run(self, count: int, at: int, began: float) -> None:
        """Send so many; at a rate, the pairs take turns and this is number `at`."""
        for number in range(count):
            if self._load.per_s is not None:
                due = began + (number * PAIRS + at) / self._load.per_s
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._sent.append(await self._send())
        await self._inbox.wait_for(count + 1)

    def last(self) -> float:
        """When the receiver learned of the last message."""
        return self._inbox.learned(len(self._sent) + 1)

    def latencies(self) -> list[float]:
        """Seconds from each 250 to the EXISTS that counts the message."""
        learned = (self._inbox.learned(number + 2) for number in range(len(self._sent)))
        # The receiver may know of a message before its sender has read the answer.
        return [max(0.0, knew - sent) for knew, sent in zip(learned, self._sent, strict=True)]

    async def close(self) -> None:
        """Hang up."""
        if self._client:
            await self._client.quit()

    async def _send(self) -> float:
        client = self._client or await Submission.log_in(self._ports, self._sender)
        if self._load.kept:
            self._client = client
        accepted = await client.send(self._sender.address, self._receiver.address, self._letter)
        if not self._load.kept:
            await client.quit()
        return accepted


@contextlib.asynccontextmanager
async def idle_clients(sandbox: Sandbox, logins: Sequence[Login]) -> AsyncIterator[list[Inbox]]:
    """Clients of these logins, in IDLE, until the end of the block."""
    async with contextlib.AsyncExitStack() as stack:
        inboxes = []
        for login in logins:
            inbox = await Inbox.log_in(sandbox.ports, login)
            stack.push_async_callback(inbox.close)
            await inbox.idle()
            inboxes.append(inbox)
        yield inboxes


async def _look(ledger: Ledger) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        ledger.look()
