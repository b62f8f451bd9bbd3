"""A pass-through proxy: it forwards bytes as they come, in both directions, unread.

    python -m bench.filter.forwarder PORT TARGET

It takes the filter's place, and shows the least that a Python process on uvloop costs between two
Postfix services: protocol callbacks, no streams, and one connection to TARGET per client.
"""

import asyncio
import sys
from typing import cast

import uvloop

HOST = "127.0.0.1"


class Side(asyncio.Protocol):
    """One end of a connection through the proxy; `other` is the opposite one."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        assert self.other is not None
        assert self.other.transport is not None
        self.other.transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the opposite end as well, once everything is written to it."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        """Read no more from the opposite end while this one is slow."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read from the opposite end again."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class Front(Side):
    """The client's end, which opens the other."""

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the target; an SMTP client says nothing before the target has greeted."""
        super().connection_made(transport)
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        assert self.transport is not None
        back = self.other = Side()
        back.other = self
        try:
            await asyncio.get_running_loop().create_connection(lambda: back, HOST, self._target)
        except OSError:
            self.transport.close()


async def _serve(port: int, target: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Front(target), HOST, port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
