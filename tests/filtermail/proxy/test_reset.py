"""A reinject service that resets the connection (RST, not FIN) instead of replying."""

import asyncio
import socket
import struct

import pytest

from tests.filtermail.gate.building import SENDER, message
from tests.filtermail.proxy.conftest import RECIPIENT, Connect, Start


def reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("moment", [b"MAIL", b"DATA", b"--limes", b".\r\n"])
async def test_a_reset_is_a_451(start: Start, connect: Connect, moment: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while line := await reader.readline():
            if line.startswith(moment):
                reset(writer)
                return
            if line.startswith(b"EHLO"):
                writer.write(b"250 x\r\n")
            elif line.startswith((b"MAIL", b"RCPT")):
                writer.write(b"250 Ok\r\n")
            elif line.startswith(b"DATA"):
                writer.write(b"354 Go\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    instance = await start(postfix_reinject_port=server.sockets[0].getsockname()[1])
    client = await connect(instance)
    assert (await client.submit(message(), SENDER, [RECIPIENT])).code == 451
    # And the client's connection goes on.
    assert (await client.submit(message(), SENDER, [RECIPIENT])).code == 451
    server.close()
