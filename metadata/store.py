"""Device tokens on disk: `metadata.json` in the mailbox's own directory, so they vanish with it.

Reading never writes. A change is read, made and put in place (a new file renamed over the old)
under a lock for its address; the lock is this process's, the only one that writes these files.
The work is done in threads: these files are on the disk that all mail is on, and it may be slow.
"""

import asyncio
import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from metadata.tokens import CorruptTokens, TokenSet, check
from relay.address import Address, InvalidAddress
from relay.mailbox import METADATA, Mailboxes, Owner, sync_directory

log = logging.getLogger(__name__)

GRAIN = 3600
"""Seconds: a token that was set more recently is not written again; clients set it each time
they connect, and each write wears a small machine's card."""
_THREADS = 4
_LOCKS = 64

T = TypeVar("T")


class NoMailbox(LookupError):  # noqa: N818 - says what is the matter
    """The user has no mailbox here."""


class TokenStore:
    """Tokens of all addresses. Every method raises OSError where the disk does not do as asked."""

    def __init__(self, mailboxes: Mailboxes, owner: Owner) -> None:
        self._mailboxes = mailboxes
        self._owner = owner
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tokens")
        # Addresses share locks: a lock for each would have to be found and forgotten.
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    async def valid(self, user: str, now: int) -> tuple[str, ...]:
        """The tokens of `user` that hold at `now`; none where there is no mailbox."""
        return await self._run(self._valid, user, now)

    async def add(self, user: str, token: str, now: int) -> None:
        """Note that `token` was set at `now`, durably; raises NoMailbox, InvalidToken."""
        check(token)
        await self._run(self._change, user, lambda tokens: _added(tokens, token, now))

    async def remove(self, user: str, token: str) -> None:
        """Forget `token`, durably; raises NoMailbox."""
        await self._run(self._change, user, lambda tokens: tokens.remove(token))

    def close(self) -> None:
        """End the threads; changes under way are finished."""
        self._threads.shutdown()

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def _valid(self, user: str, now: int) -> tuple[str, ...]:
        try:
            return _read(self._file(user)).valid(now)
        except NoMailbox:
            return ()
        except CorruptTokens as error:
            log.warning(
                "a mailbox's %s is corrupt: %s; its next change sets it aside", METADATA, error
            )
            return ()

    def _change(self, user: str, change: Callable[[TokenSet], TokenSet]) -> None:
        path = self._file(user)
        with self._locks[hash(path) % _LOCKS]:
            try:
                before = _read(path)
            except CorruptTokens as error:
                _set_aside(path, error)
                before = TokenSet()
            after = change(before)
            if after != before:
                self._replace(path, after.serialise())

    def _file(self, user: str) -> Path:
        try:
            mailbox = self._mailboxes.of(Address.parse(user))
        except InvalidAddress:
            raise NoMailbox from None
        if mailbox is None or not mailbox.path.is_dir():
            raise NoMailbox
        return mailbox.path / METADATA

    def _replace(self, path: Path, text: str) -> None:
        # No leading dot: in a Maildir that would be the name of a folder.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{METADATA}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as draft:
                draft.write(text)
                draft.flush()
                os.fsync(draft.fileno())
            self._owner.take(name)
            Path(name).rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
        sync_directory(path.parent)


def _added(tokens: TokenSet, token: str, now: int) -> TokenSet:
    if 0 <= now - tokens.times.get(token, now - GRAIN) < GRAIN:
        return tokens
    return tokens.add(token, now)


def _read(path: Path) -> TokenSet:
    try:
        with path.open(encoding="utf-8") as file:
            return TokenSet.parse(file.read(), int(os.fstat(file.fileno()).st_mtime))
    except FileNotFoundError:
        return TokenSet()
    except UnicodeDecodeError:
        raise CorruptTokens("it is not UTF-8") from None


def _set_aside(path: Path, error: CorruptTokens) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    path.rename(aside)
    # Which mailbox is an address, and stays out of the log.
    log.error(
        "a mailbox's %s was corrupt: %s; it is kept as %s beside it (find it by that name)",
        path.name,
        error,
        aside.name,
    )
