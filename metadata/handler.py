"""What Dovecot's METADATA dictionary is answered, entry by entry."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from metadata import dictkeys as keys
from metadata.dictkeys import Private, Shared
from metadata.entries.appversions import AppVersions
from metadata.entries.turnserver import Turn
from metadata.push.queue import PushQueue
from metadata.tokens.files import NoMailbox, TokenStore
from metadata.tokens.tokenset import InvalidToken, check
from relay.config import Config
from relay.dovecot.dictproto import Change
from relay.dovecot.dictserver import DictFailure

log = logging.getLogger(__name__)


class MetadataHandler:
    """A DictHandler: tokens in, pushes owed, and what a relay tells its clients.

    An unset of a device token changes nothing, as in existing relays: it does not say which of an
    address's devices it is for, and the others' tokens must not go with it. A token ends by the
    gateway's 410 or by not being set again.
    """

    def __init__(
        self,
        config: Config,
        tokens: TokenStore,
        queue: PushQueue,
        wake: Callable[[], None],
        nudge: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._tokens = tokens
        self._queue = queue
        self._wake = wake
        self._nudge = nudge
        self._clock = clock
        self._turn = Turn(config)
        self._app_versions = AppVersions(config)

    async def lookup(self, key: str, user: str) -> str | None:
        """The value of an entry, None where there is none; raises DictFailure."""
        match keys.parse(key):
            case Private.DEVICE_TOKEN:
                return " ".join(await self._valid_tokens(user)) or None
            case Shared.IROH_RELAY:
                return self._config.iroh_relay
            case Shared.MAX_SMTP_RECIPIENTS:
                return str(self._config.max_smtp_recipients)
            case Shared.TURN:
                return await self._turn.entry(self._clock())
            case Shared.APP_VERSIONS:
                return await self._app_versions.entry()
            case _:
                return None

    async def iterate(self, path: str, user: str) -> Iterable[tuple[str, str]]:  # noqa: ARG002
        """Entries are asked for by name; there is no list of them."""
        return ()

    async def commit(self, user: str, changes: Sequence[Change]) -> None:
        """Store tokens and owe pushes, durably; raises DictFailure where one change is refused."""
        entries = [keys.parse(change.key) for change in changes]
        if not all(isinstance(entry, Private) for entry in entries):
            raise DictFailure("this relay has no such entry to set")
        set_to = zip(entries, [change.value for change in changes], strict=True)
        tokens = [
            _checked(value)
            for entry, value in set_to
            if entry is Private.DEVICE_TOKEN and value is not None
        ]
        for token in tokens:
            await self._add_token(user, token)
        if Private.MESSAGE_NEW in entries or Private.MESSAGE_OWN in entries:
            self._nudge(user)
        if Private.MESSAGE_NEW in entries:
            await self._owe_pushes(user)

    async def _valid_tokens(self, user: str) -> tuple[str, ...]:
        with _as_failure():
            return await self._tokens.valid(user, int(self._clock()))

    async def _add_token(self, user: str, token: str) -> None:
        try:
            await self._tokens.add(user, token, int(self._clock()))
        except NoMailbox:
            raise DictFailure("this user has no mailbox here") from None
        except OSError as error:
            log.warning("a device token cannot be stored: %s", error.strerror)
            raise DictFailure("the device token cannot be stored now") from None

    async def _owe_pushes(self, user: str) -> None:
        now = self._clock()
        with _as_failure():
            owed = await self._queue.owe(user, lambda: self._tokens.read(user, int(now)), now)
        if owed:
            self._wake()


@contextmanager
def _as_failure() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.warning("device tokens cannot be read: %s", error.strerror)
        raise DictFailure("device tokens cannot be read now") from None


def _checked(token: str) -> str:
    try:
        check(token)
    except InvalidToken as error:
        raise DictFailure(str(error)) from None
    return token
