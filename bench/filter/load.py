"""The load generator: one process that sends one message again and again, many at a time.

It loads one port, or several in turns: what slows the machine for a while then slows all of them.

    python -m bench.filter.load ORDER        ORDER: an `Order` as JSON

Its dialogue is that of Postfix with a before-queue filter (smtpd_proxy.c): lock-step EHLO, MAIL,
RCPT, DATA, the message, and after the answer to the final dot a QUIT whose answer nobody awaits.
Everything it writes is prepared, and it parses only the first digit of each answer. It
prints `sending` once it has begun, and at its end a list of `Sent` as JSON, one per port. SIGTERM
ends it early; messages under way are finished first.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from bench.filter.messages import END, RECIPIENT, SENDER

HOST = "127.0.0.1"
BEGUN = "sending"
_COMMANDS = (
    b"EHLO localhost\r\n",
    f"MAIL FROM:<{SENDER}>\r\n".encode(),
    f"RCPT TO:<{RECIPIENT}>\r\n".encode(),
    b"DATA\r\n",
)
_MAIL = 1
"""Where a message on a re-used connection begins."""
_EXPECTED = b"222232"
"""First digits of the answers: to the connection, the commands, and the message."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order. Latency counts from the connection, or from MAIL if the connection is re-used."""

    ports: list[int]
    message: str
    """The file that holds it."""
    at_a_time: int
    seconds: float
    """How long each port is loaded, all turns together; no message is begun after that."""
    turns: int = 1
    """How many turns the seconds of a port are divided into."""
    reuse: bool = False
    """Send all messages of one sender over one connection, instead of a new one per message."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was sent to one port and accepted. Times are in seconds."""

    latencies: list[float]
    seconds: float
    cpu: float
    """Processor time that the generator itself spent on it."""


class NotAcceptedError(Exception):
    """A message was not accepted; the text has the answer."""


class Lane:
    """One port, and the messages that it has accepted."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.latencies: list[float] = []
        self.seconds = 0.0
        self.cpu = 0.0

    def sent(self) -> Sent:
        """The sum of all turns."""
        return Sent(latencies=self.latencies, seconds=self.seconds, cpu=self.cpu)


class Load:
    """The turns of an order, and the state that its connections share."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.commands = (*_COMMANDS, Path(order.message).read_bytes() + END)
        self.lanes = [Lane(port) for port in order.ports]
        self.turn_over = False
        self._ended = False

    async def run(self) -> list[Sent]:
        """Send until the time is over; raises NotAcceptedError, OSError."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        print(BEGUN, flush=True)  # noqa: T201 - the protocol with the process that started this one
        for turn in range(self.order.turns):
            # Each port is as often before another as after it.
            for lane in self.lanes[:: -1 if turn % 2 else 1]:
                if not self._ended:
                    await self._take_turn(lane)
        return [lane.sent() for lane in self.lanes]

    async def _take_turn(self, lane: Lane) -> None:
        self.turn_over = False
        timer = asyncio.get_running_loop().call_later(
            self.order.seconds / self.order.turns, self._end_turn
        )
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self._send(lane) for _ in range(self.order.at_a_time)))
        lane.seconds += time.perf_counter() - began
        lane.cpu += time.process_time() - cpu
        timer.cancel()

    def _end_turn(self) -> None:
        self.turn_over = True

    def _end(self) -> None:
        self.turn_over = self._ended = True

    async def _send(self, lane: Lane) -> None:
        loop = asyncio.get_running_loop()
        while True:
            done: asyncio.Future[None] = loop.create_future()
            dialogue = Dialogue(self, lane, done)
            await loop.create_connection(lambda d=dialogue: d, HOST, lane.port)  # type: ignore[misc]
            await done
            if self.turn_over:
                return


class Dialogue(asyncio.Protocol):
    """One connection; `done` is set once its last message is accepted."""

    def __init__(self, load: Load, lane: Lane, done: asyncio.Future[None]) -> None:
        self._load = load
        self._lane = lane
        self._done = done
        self._step = 0
        self._answer = b""
        self._began = time.perf_counter()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The greeting comes next."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take an answer, which may have several lines (RFC 5321, 4.2), and send what follows."""
        answer = self._answer = self._answer + data
        if not answer.endswith(b"\r\n") or answer[answer.rfind(b"\n", 0, -1) + 4] == ord("-"):
            return
        assert self._transport is not None
        if answer[0] != _EXPECTED[self._step]:
            self._fail(f"answer {self._step}: {answer.decode('utf-8', 'replace').strip()}")
            return
        self._answer = b""
        if self._step == len(_COMMANDS) + 1:
            self._delivered()
        else:
            self._step += 1
            self._transport.write(self._load.commands[self._step - 1])

    def connection_lost(self, _error: Exception | None) -> None:
        """The other side must not be the first to go."""
        self._fail("the connection was lost")

    def _delivered(self) -> None:
        assert self._transport is not None
        load, now = self._load, time.perf_counter()
        self._lane.latencies.append(now - self._began)
        if load.order.reuse and not load.turn_over:
            self._began = now
            self._step = _MAIL + 1
            self._transport.write(load.commands[_MAIL])
            return
        self._transport.write(b"QUIT\r\n")
        self._transport.close()
        self._done.set_result(None)

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(NotAcceptedError(why))
        if self._transport is not None:
            self._transport.abort()


def main() -> int:
    """Carry out the order on the command line; the exit code."""
    load = Load(msgspec.json.decode(sys.argv[1], type=Order))
    try:
        sent = uvloop.run(load.run())
    except (NotAcceptedError, OSError) as failure:
        print("a message was not accepted:", failure, file=sys.stderr)  # noqa: T201 - our log
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(sent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
