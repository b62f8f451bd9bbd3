"""Deliveries that Dovecot's Lua could not report, which it has noted in a file instead.

A report that is not answered may be lost: the service is down, or is killed after it took the
connection and before the pushes were on disk. So the Lua then appends the address to `NOTES`, a
line each, and this reads them: at the start, and now and then. The file is renamed before it is
read, and removed only once the pushes are owed: a crash in between repeats them.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from relay.dovecot.dictserver import DictFailure
from relay.log import unexpected

log = logging.getLogger(__name__)

NOTES = ".metadata-owes"
"""The file's name beside the mailboxes, known to push_notification.lua."""
TAKEN = ".metadata-owes.taken"
LOOK_SECONDS = 5.0
"""Between two looks for notes; a look that finds none is two system calls."""
WRITER_SECONDS = 0.1
"""For a Lua that has the file open to write its line: it takes microseconds."""


class Notes:
    """The notes beside the mailboxes in `root`."""

    def __init__(self, root: Path, owe: Callable[[str], Awaitable[None]]) -> None:
        """`owe` owes the pushes for a message to an address, durably; raises DictFailure."""
        self._notes, self._taken = root / NOTES, root / TAKEN
        self._owe = owe
        self._is_well = True

    async def watch(self) -> NoReturn:
        """Owe what is noted, for ever."""
        while True:
            try:
                await self.settle()
                self._is_well = True
            except OSError as error:
                if self._is_well:
                    log.warning("notes of deliveries cannot be read: %s", error.strerror)
                self._is_well = False
            except Exception as error:  # noqa: BLE001 - the notes stay for the next look
                unexpected(log, "notes of deliveries", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def settle(self) -> None:
        """Owe what is noted by now; raises OSError."""
        if not await asyncio.to_thread(self._take):
            return
        await asyncio.sleep(WRITER_SECONDS)
        for address in await asyncio.to_thread(self._read):
            # A mailbox that cannot be read now would have lost its push by a report, too.
            with contextlib.suppress(DictFailure):
                await self._owe(address)
        await asyncio.to_thread(self._taken.unlink)

    def _take(self) -> bool:
        """Make the notes ours. Return whether there are any, these or some from before a crash."""
        if self._taken.exists():
            return True
        try:
            self._notes.rename(self._taken)
        except FileNotFoundError:
            return False
        return True

    def _read(self) -> set[str]:
        """The addresses noted; a line that was cut short is none."""
        descriptor = os.open(self._taken, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(
            descriptor, encoding="utf-8", errors="surrogateescape", newline="\n"
        ) as file:
            return {line[:-1] for line in file if line.endswith("\n")}
