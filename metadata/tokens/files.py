"""Device tokens on disk: `metadata.json` in the mailbox's own directory, so they vanish with it.

1. Reading never writes. A change is read, made and put in place by a new file renamed over the old.
2. A change holds the mailbox's directory by a descriptor: if the mailbox is set aside or deleted
   meanwhile, the change goes with it. No directory is ever made here. While the disk of all
   mailboxes is not mounted, tokens are not available, which is not the same as that there are none.
3. The work is done in threads, because these files are on the disk that all mail is on. A mailbox
   has at most one thread at a time, so a mailbox that hangs costs one thread and delays nobody
   else; a caller waits for a bounded time. This also orders the changes of one file: no other
   process writes it.
"""

import asyncio
import contextlib
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from metadata.tokens.protocol import NoMailbox, TokensUnavailable
from metadata.tokens.tokenset import CorruptTokens, TokenSet, check
from relay.address import Address, InvalidAddress
from relay.mailbox import drafts
from relay.mailbox.directory import METADATA, Mailbox, Mailboxes
from relay.owner import Owner

log = logging.getLogger(__name__)

GRAIN = 3600
"""Seconds: a token that was set more recently is not written again. Clients set it each time they
connect, and each write wears a small machine's card."""
MAX_OCTETS = 1 << 20
"""Of a file that is read; tokens are a twentieth of it at most."""
PATIENCE_SECONDS = 10.0
"""How long a caller waits for a mailbox. Dovecot's Lua waits 0.4 s and is gone by then, but its
message still counts."""
_CLOSE_SECONDS = 5.0
_THREADS = 8

T = TypeVar("T")


class FileTokenStore:
    """A TokenStore over the mailboxes' directories."""

    def __init__(
        self, mailboxes: Mailboxes, owner: Owner, patience: float = PATIENCE_SECONDS
    ) -> None:
        """`patience`: how long a caller waits for a mailbox, in seconds."""
        self._mailboxes = mailboxes
        self._owner = owner
        self._patience = patience
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tokens")
        self._under_way: set[asyncio.Future[Any]] = set()
        # A lock is gone once nobody holds it or waits for it.
        self._turns: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def valid(self, user: str, now: int) -> tuple[str, ...]:
        """As `TokenStore` says."""
        try:
            return await self._run(user, lambda mailbox: _valid(mailbox, now))
        except NoMailbox:
            return ()

    async def add(self, user: str, tokens: Sequence[str], now: int) -> None:
        """As `TokenStore` says."""
        for token in tokens:
            check(token)
        await self._change(user, lambda stored: _added(stored, tokens, now))

    async def remove(self, user: str, token: str) -> None:
        """As `TokenStore` says."""
        await self._change(user, lambda stored: stored.remove(token))

    async def close(self) -> None:
        """As `TokenStore` says; a thread that hangs in the kernel is left behind."""
        self._threads.shutdown(wait=False)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_CLOSE_SECONDS)

    async def _change(self, user: str, change: Callable[[TokenSet], TokenSet]) -> None:
        await self._run(user, lambda mailbox: _change(mailbox, change, self._owner))

    async def _run(self, user: str, work: Callable[[Path], T]) -> T:
        """Do `work` on the mailbox of `user`, in a thread and in its turn."""
        path = self._mailbox(user).path
        if (turn := self._turns.get(path)) is None:
            turn = self._turns[path] = asyncio.Lock()
        try:
            async with asyncio.timeout(self._patience):
                await turn.acquire()
                return await asyncio.shield(self._begin(path, work, turn))
        except TimeoutError:  # an OSError too, but without a text
            raise TokensUnavailable("the disk does not answer") from None
        except OSError as error:
            raise TokensUnavailable(error.strerror or type(error).__name__) from None

    def _begin(
        self, path: Path, work: Callable[[Path], T], turn: asyncio.Lock
    ) -> "asyncio.Future[T]":
        running = asyncio.get_running_loop().run_in_executor(
            self._threads, _while_mounted, self._mailboxes, work, path
        )

        def ended(done: "asyncio.Future[T]") -> None:
            # Here and not in the caller, which may have given up before the thread has ended.
            turn.release()
            self._under_way.discard(done)
            if not done.cancelled():
                done.exception()  # seen

        self._under_way.add(running)
        running.add_done_callback(ended)
        return running

    def _mailbox(self, user: str) -> Mailbox:
        try:
            mailbox = self._mailboxes.of(Address.parse(user))
        except InvalidAddress:
            raise NoMailbox from None
        if mailbox is None:
            raise NoMailbox
        return mailbox


# What follows runs in a thread.


def _while_mounted(mailboxes: Mailboxes, work: Callable[[Path], T], path: Path) -> T:
    """Do `work`; raises NotMounted if the mailbox is missing because all are."""
    try:
        result = work(path)
    except NoMailbox:
        mailboxes.check_mounted()
        raise
    if result == ():
        # No tokens: there may be a mailbox without any, or no mailbox in sight.
        mailboxes.check_mounted()
    return result


def _valid(mailbox: Path, now: int) -> tuple[str, ...]:
    try:
        return _read(mailbox / METADATA, now).valid(now)
    except CorruptTokens as error:
        log.warning("a mailbox's %s is corrupt: %s; its next change sets it aside", METADATA, error)
        return ()


def _change(mailbox: Path, change: Callable[[TokenSet], TokenSet], owner: Owner) -> None:
    with _opened(mailbox) as place:
        try:
            before = _read(METADATA, int(time.time()), place)
        except CorruptTokens as error:
            _set_aside(place, error)
            before = TokenSet()
        after = change(before)
        if after != before:
            with _missing_is_no_mailbox():
                content = after.serialise().encode()
                drafts.replace(METADATA, drafts.METADATA_DRAFT, content, owner, place=place)


def _added(stored: TokenSet, tokens: Sequence[str], now: int) -> TokenSet:
    for token in tokens:
        if not 0 <= now - stored.times.get(token, now - GRAIN) < GRAIN:
            stored = stored.add(token, now)
    return stored


@contextlib.contextmanager
def _opened(mailbox: Path) -> Iterator[int]:
    """Hold a mailbox's directory by a descriptor; raises NoMailbox."""
    with _missing_is_no_mailbox():
        descriptor = os.open(mailbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _missing_is_no_mailbox() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NoMailbox from None
        raise


def _read(path: str | Path, now: int, place: int | None = None) -> TokenSet:
    """Return what is stored in a file below the directory `place`; raises CorruptTokens, OSError.

    Tokens without a time count as set at `now`. Their file's own age does not help: it was written
    when the first of them came, and not again when that was set again.
    """
    try:
        return TokenSet.parse(drafts.read_small(path, MAX_OCTETS, place=place).decode(), now)
    except (FileNotFoundError, NotADirectoryError):
        return TokenSet()
    except drafts.TooLarge:
        raise CorruptTokens(f"it has more than {MAX_OCTETS} octets") from None
    except UnicodeDecodeError:
        raise CorruptTokens("it is not UTF-8") from None


def _set_aside(place: int, error: CorruptTokens) -> None:
    names = set(os.listdir(place))
    number = 1
    while (aside := f"{METADATA}.corrupt-{number}") in names:
        number += 1
    os.rename(METADATA, aside, src_dir_fd=place, dst_dir_fd=place)
    # The mailbox's name is an address, and stays out of the log.
    log.error(
        "a mailbox's %s was corrupt: %s; it is kept as %s beside it (find it by that name)",
        METADATA,
        error,
        aside,
    )
