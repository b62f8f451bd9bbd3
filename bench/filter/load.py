"""The load generator: one process that sends one message again and again, many at a time.

    python -m bench.filter.load ORDER        ORDER: an `Order` as JSON

Its dialogue is that of Postfix with a before-queue filter (smtpd_proxy.c): lock-step EHLO, MAIL,
RCPT, DATA, the message, and after the answer to the final dot a QUIT whose answer nobody awaits.
All that is written was made before, and nothing is parsed but the first digit of each answer. It
says `sending` once it has begun and ends with a `Sent` as JSON, both on standard output. SIGTERM
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
"""Where a connection that is used again begins."""
_EXPECTED = b"222232"
"""First digits of the answers: to the connection, the commands, and the message."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. A message's latency counts from its connection, or from its MAIL if re-used."""

    port: int
    message: str
    """The file that holds it."""
    at_a_time: int
    seconds: float
    """No message is begun after that."""
    reuse: bool = False
    """Send all messages of one sender over one connection, not each over one of its own."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent, all of it accepted. Times are in seconds."""

    latencies: list[float]
    seconds: float
    cpu: float
    """Processor time of the generator itself."""


class NotAcceptedError(Exception):
    """A message was not accepted; the text has the answer."""


class Load:
    """What the connections share."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.commands = (*_COMMANDS, Path(order.message).read_bytes() + END)
        self.latencies: list[float] = []
        self.stopped = False

    async def run(self) -> Sent:
        """Send until the time is over; raises NotAcceptedError, OSError."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.call_later(self.order.seconds, self._stop)
        print(BEGUN, flush=True)  # noqa: T201 - the protocol with who started us
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self._send() for _ in range(self.order.at_a_time)))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        return Sent(latencies=self.latencies, seconds=seconds, cpu=cpu)

    def _stop(self) -> None:
        self.stopped = True

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            done: asyncio.Future[None] = loop.create_future()
            dialogue = Dialogue(self, done)
            await loop.create_connection(lambda d=dialogue: d, HOST, self.order.port)  # type: ignore[misc]
            await done
            if self.stopped:
                return


class Dialogue(asyncio.Protocol):
    """One connection; `done` is told when it has sent all that it was to send."""

    def __init__(self, load: Load, done: asyncio.Future[None]) -> None:
        self._load = load
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
        load.latencies.append(now - self._began)
        if load.order.reuse and not load.stopped:
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
