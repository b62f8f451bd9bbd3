"""A daemon as small as one can be over `relay.life.service`, for the tests of the life cycle.

It greets whoever connects; who then sends `wait` is answered once the service is to stop, so
that a test sees it drain. `fail` ends it by an exception that is foreseen and `bug` by another;
`forget` raises where nobody looks.
"""

import asyncio
import sys
import threading
from pathlib import Path

from relay.config import Config
from relay.life.service import Listeners, Unstartable, main, parser, unix_listeners
from relay.life.sockets import _KEEP_SOCKET_FILE

SECRET = "someone12@example.org"


def raising() -> None:
    raise ValueError(SECRET)


async def run(listeners: Listeners, config: Config, shutdown: asyncio.Event) -> None:
    busy: set[asyncio.Task[None]] = set()
    failed = asyncio.Event()
    bugs: list[int] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{config.mail_domain}\n".encode())
        match await reader.readline():
            case b"wait\n":
                writer.write(b"waiting\n")
                await shutdown.wait()
                writer.write(b"done\n")
                await writer.drain()
            case b"fail\n":
                failed.set()
            case b"forget\n":
                asyncio.get_running_loop().call_soon(raising)
                threading.Thread(target=raising).start()
            case b"bug\n":
                bugs.append(1)
                failed.set()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        busy.add(asyncio.ensure_future(converse(reader, writer)))

    server = await asyncio.start_unix_server(
        accept, sock=listeners["talk-socket"], **_KEEP_SOCKET_FILE
    )
    ending = {asyncio.ensure_future(event.wait()) for event in (shutdown, failed)}
    await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    if bugs:
        raising()
    if failed.is_set():
        raise Unstartable("asked to fail")
    if busy:
        await asyncio.wait(busy)


if __name__ == "__main__":
    arguments = parser("waiting_daemon", "Waits.")
    arguments.add_argument("--talk-socket", type=Path)
    given = arguments.parse_args()
    sys.exit(
        main(
            given,
            lambda config: unix_listeners(config, {"talk-socket": given.talk_socket}),
            run,
            "waiting_daemon",
        )
    )
