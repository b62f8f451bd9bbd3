"""A null sink: an SMTP server that throws messages away as cheaply as Python can.

    python -m bench.filter.sink PORT

It takes the place of Postfix' reinject service. All connections read into one shared buffer, and
only the last five octets of a read are looked at: a client that waits for the answer to its final
dot, as all here do, has nothing more to say after it. `XCOUNT` answers with the number of messages
and of their octets so far.
"""

import asyncio
import sys
from typing import ClassVar, cast

import uvloop

HOST = "127.0.0.1"
_END = b"\r\n.\r\n"
_EHLO = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"


class Sink(asyncio.BufferedProtocol):
    """One connection."""

    # The loop fills it and calls buffer_updated in one step: one buffer serves all connections.
    buffer: ClassVar = memoryview(bytearray(256 * 1024))
    messages: ClassVar = 0
    octets: ClassVar = 0

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._commands = b""
        # The last octets of a message; None between messages.
        self._tail: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"220 sink ESMTP\r\n")

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the next octets go."""
        return Sink.buffer

    def buffer_updated(self, size: int) -> None:
        """Look at the octets that came."""
        if self._tail is None:
            self._command(bytes(Sink.buffer[:size]))
        else:
            self._data(bytes(Sink.buffer[max(0, size - len(_END)) : size]), size)

    def _data(self, last: bytes, size: int) -> None:
        assert self._tail is not None
        assert self._transport is not None
        Sink.octets += size
        self._tail = (self._tail + last)[-len(_END) :]
        if self._tail == _END:
            Sink.octets -= len(_END) - 2
            Sink.messages += 1
            self._tail = None
            self._transport.write(b"250 2.0.0 Ok\r\n")

    def _command(self, data: bytes) -> None:
        assert self._transport is not None
        *lines, self._commands = (self._commands + data).split(b"\r\n")
        self._transport.write(b"".join(map(self._answer, lines)))
        if b"QUIT" in lines:
            self._transport.close()

    def _answer(self, line: bytes) -> bytes:
        match line[:4].upper():
            case b"EHLO":
                return _EHLO
            case b"DATA":
                # An empty message would end in a dot on its first line.
                self._tail = b"\r\n"
                return b"354 Go on\r\n"
            case b"QUIT":
                return b"221 2.0.0 Bye\r\n"
            case b"XCOU":
                return b"250 %d %d\r\n" % (Sink.messages, Sink.octets)
            case _:
                return b"250 2.0.0 Ok\r\n"


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, HOST, port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
