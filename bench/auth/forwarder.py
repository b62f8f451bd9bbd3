"""Stands between Dovecot's Lua and doveauth, and holds back some answers.

One request at a time is under way on a connection, as Dovecot's Lua asks them.
"""

import asyncio
import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

HELD_SECONDS = 2.0
_CHUNK = 1 << 16
_READY_SECONDS = 10.0


class Forwarder:
    """Passes HTTP on from one unix socket to another, in a thread and loop of its own."""

    def __init__(self, path: Path, upstream: Path, slow: str) -> None:
        """Answers to passdb questions for names that begin with `slow` are held back."""
        self._path = path
        self._upstream = upstream
        self._mark = f"username={slow}".encode()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(_READY_SECONDS)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_unix_server(self._accepted, str(self._path), backlog=1024)
        self._path.chmod(0o666)
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_unix_connection(str(self._upstream))
            held = asyncio.Event()

            async def questions() -> None:
                a_login = False
                while data := await reader.read(_CHUNK):
                    if b" HTTP/1.1" in data:
                        a_login = b"/passdb HTTP/1.1" in data
                    if a_login and self._mark in data:
                        held.set()
                    forth.write(data)
                forth.close()

            asking = asyncio.ensure_future(questions())
            while data := await back.read(_CHUNK):
                if held.is_set():
                    await asyncio.sleep(HELD_SECONDS)
                    held.clear()
                writer.write(data)
            asking.cancel()
        except OSError:
            pass  # one of the two has left, and the other hears of it
        finally:
            with contextlib.suppress(OSError):
                writer.close()
