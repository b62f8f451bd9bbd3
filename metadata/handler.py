"""What IMAP clients set and get: Dovecot's METADATA dictionary, entry by entry."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from metadata import dictkeys
from metadata.dictkeys import Private, Shared
from metadata.entries.appversions import AppVersions
from metadata.entries.turnserver import Turn
from metadata.tokens.protocol import NoMailbox, TokenStore, TokensUnavailable
from metadata.tokens.tokenset import InvalidToken, check
from relay.config import Config
from relay.dovecot.dictproto import Change
from relay.dovecot.dictserver import DictFailure

log = logging.getLogger(__name__)


class MetadataHandler:
    """A DictHandler: stores device tokens, and answers what a relay's clients ask for.

    A change that cannot be made, of an unknown entry or to an impossible token, is ignored and
    answered like one that was made. Dovecot turns every refusal into `NO [SERVERBUG]` and a line
    with the user's address in its error log, for as long as the client likes (seen with 2.3.19);
    and it fails to delete a folder unless it may unset that folder's comments. Only a change that
    may succeed later is a failure.

    An unset of a device token changes nothing, as in existing relays: it does not say which of an
    address's devices it is for, and the others' tokens must not go with it. A token ends by the
    gateway's 410 or by not being set again.

    Messages are not announced here: any client could (`metadata.deliveries`).
    """

    def __init__(
        self, config: Config, tokens: TokenStore, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._tokens = tokens
        self._clock = clock
        self._turn = Turn(config)
        self._app_versions = AppVersions(config)

    async def lookup(self, key: str, user: str) -> str | None:
        """Return the value of an entry, None if there is none; raises DictFailure."""
        match dictkeys.parse(key):
            case Private.DEVICE_TOKEN:
                with failures():
                    tokens = await self._tokens.valid(user, int(self._clock()))
                return " ".join(tokens) or None
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
        """Store tokens, durably, all of them or none; raises DictFailure."""
        tokens = [
            change.value
            for change in changes
            if dictkeys.parse(change.key) is Private.DEVICE_TOKEN
            and change.value is not None
            and _is_token(change.value)
        ]
        if tokens:
            with failures():
                await self._tokens.add(user, tokens, int(self._clock()))


@contextmanager
def failures() -> Iterator[None]:
    """Make DictFailure of what a TokenStore raises."""
    try:
        yield
    except NoMailbox:
        raise DictFailure("this user has no mailbox here") from None
    except TokensUnavailable as error:
        log.warning("device tokens cannot be read or stored: %s", error)
        raise DictFailure("device tokens are not available now") from None


def _is_token(value: str) -> bool:
    try:
        check(value)
    except InvalidToken as error:
        log.debug("a device token is ignored: %s", error)
        return False
    return True
