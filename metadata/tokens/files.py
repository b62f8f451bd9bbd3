"""Device tokens on disk: `metadata.json` in the mailbox's own directory, so they vanish with it.

Reading never writes. A change is read, made and put in place (a new file renamed over the old)
under a lock for its address; the lock is this process's, the only one that writes these files.
A change holds on to the mailbox's directory: if that is put aside or deleted meanwhile, the change
goes with it, and no directory is ever made here.
The work is done in threads: these files are on the disk that all mail is on, and it may be slow.
"""

import asyncio
import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from metadata.tokens.tokenset import CorruptTokens, TokenSet, check
from relay.address import Address, InvalidAddress
from relay.mailbox.directory import METADATA, Mailboxes
from relay.owner import Owner

log = logging.getLogger(__name__)

GRAIN = 3600
"""Seconds: a token that was set more recently is not written again; clients set it each time
they connect, and each write wears a small machine's card."""
_DRAFT = f"{METADATA}.new"
"""Without a leading dot: in a Maildir that would be the name of a folder. One name, so that what a
crash left behind goes with the next change."""
MAX_OCTETS = 1 << 20
"""Of a file that is read; tokens are a twentieth of it at most."""
_PIECE = 1 << 16
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
        return await self._run(self.read, user, now)

    async def add(self, user: str, token: str, now: int) -> None:
        """Note that `token` was set at `now`, durably; raises NoMailbox, InvalidToken."""
        check(token)
        await self._run(self._change, user, lambda tokens: _added(tokens, token, now))

    async def remove(self, user: str, token: str) -> None:
        """Forget `token`, durably; raises NoMailbox."""
        await self._run(self._change, user, lambda tokens: tokens.remove(token))

    def close(self) -> None:
        """End the threads; what is under way is finished."""
        self._threads.shutdown()

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def read(self, user: str, now: int) -> tuple[str, ...]:
        """As `valid`, for a thread that may wait for the disk."""
        try:
            return _read(self._file(user), now).valid(now)
        except NoMailbox:
            return ()
        except CorruptTokens as error:
            log.warning(
                "a mailbox's %s is corrupt: %s; its next change sets it aside", METADATA, error
            )
            return ()

    def _change(self, user: str, change: Callable[[TokenSet], TokenSet]) -> None:
        path = self._file(user)
        with self._locks[hash(path) % _LOCKS], _directory(path.parent) as place:
            try:
                before = _read(METADATA, int(time.time()), place)
            except CorruptTokens as error:
                _set_aside(place, error)
                before = TokenSet()
            after = change(before)
            if after != before:
                self._replace(place, after.serialise())

    def _file(self, user: str) -> Path:
        try:
            mailbox = self._mailboxes.of(Address.parse(user))
        except InvalidAddress:
            raise NoMailbox from None
        if mailbox is None:
            raise NoMailbox
        return mailbox.path / METADATA

    def _replace(self, place: int, text: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_DRAFT, dir_fd=place)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        with _no_mailbox_where_none_is():
            descriptor = os.open(_DRAFT, flags, 0o600, dir_fd=place)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as draft:
                draft.write(text)
                draft.flush()
                self._owner.take(draft.fileno())
                os.fsync(draft.fileno())
            with _no_mailbox_where_none_is():
                os.rename(_DRAFT, METADATA, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(_DRAFT, dir_fd=place)
            raise
        os.fsync(place)


def _added(tokens: TokenSet, token: str, now: int) -> TokenSet:
    if 0 <= now - tokens.times.get(token, now - GRAIN) < GRAIN:
        return tokens
    return tokens.add(token, now)


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[int]:
    """A mailbox's directory, held by a descriptor; raises NoMailbox."""
    with _no_mailbox_where_none_is():
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _no_mailbox_where_none_is() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NoMailbox from None
        raise


def _read(path: str | Path, now: int, place: int | None = None) -> TokenSet:
    """What is stored in a file below the directory `place`, tokens without a time set at `now`.

    Their file's own age says nothing of them: it was written when the first of them came, and not
    again when it was set again.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=place)
    except (FileNotFoundError, NotADirectoryError):
        return TokenSet()
    try:
        content = _content(descriptor)
    finally:
        os.close(descriptor)
    try:
        return TokenSet.parse(content.decode(), now)
    except UnicodeDecodeError:
        raise CorruptTokens("it is not UTF-8") from None


def _content(descriptor: int) -> bytes:
    """All of a file; not by a file object, as this is every message."""
    content = piece = os.read(descriptor, _PIECE)
    while len(piece) == _PIECE:
        if len(content) > MAX_OCTETS:
            raise CorruptTokens(f"it has more than {MAX_OCTETS} octets")
        piece = os.read(descriptor, _PIECE)
        content += piece
    return content


def _set_aside(place: int, error: CorruptTokens) -> None:
    names = set(os.listdir(place))
    number = 1
    while (aside := f"{METADATA}.corrupt-{number}") in names:
        number += 1
    os.rename(METADATA, aside, src_dir_fd=place, dst_dir_fd=place)
    # Which mailbox is an address, and stays out of the log.
    log.error(
        "a mailbox's %s was corrupt: %s; it is kept as %s beside it (find it by that name)",
        METADATA,
        error,
        aside,
    )
