"""The dict protocol's edge, for Dovecot 2.3: its passdb, userdb and last_login plugin."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from doveauth.edges import dictkeys as keys
from doveauth.edges.answers import Answers, Unavailable, temporary
from doveauth.stores.files import AccountStore
from relay.dovecot.dictproto import Change
from relay.dovecot.dictserver import DictFailure
from relay.log import unexpected

log = logging.getLogger(__name__)

NOT_NOW = "not now"
"""No JSON, which Dovecot 2.3 reports as a temporary failure, as it does a failure of the dict.

Of the latter it would write the whole key into its log, and with it the password.
"""


class AuthHandler:
    """What Dovecot's dict passdb and dict userdb ask."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def lookup(self, key: str, _user: str) -> str | None:
        """The fields of a user, as JSON; a login with an admissible new name makes it first."""
        request = keys.parse_lookup(key)
        if request is None:
            return None
        if isinstance(request, keys.User):
            with _as_failure():
                fields = await self._answers.fields(request)
        else:
            try:
                fields = await self._answers.fields(request)
            except Unavailable:
                return NOT_NOW
            except Exception as error:  # noqa: BLE001 - no failure of a login may be one of the dict
                unexpected(log, "a login", error)
                return NOT_NOW
        return None if fields is None else json.dumps(fields)

    async def iterate(self, path: str, _user: str) -> list[tuple[str, str]]:
        """A key for every user, with an empty value."""
        if path != keys.USERDB:
            return []
        with _as_failure():
            return [(keys.USERDB + name, "") for name in await self._answers.names()]

    async def commit(self, _user: str, _changes: Sequence[Change]) -> None:
        """Nothing can be changed here."""
        raise DictFailure("the users cannot be changed by dict")


class LastLoginHandler:
    """What Dovecot's last_login plugin writes, 2.3's and 2.4's; it never reads."""

    def __init__(self, store: AccountStore) -> None:
        self._store = store

    async def lookup(self, _key: str, _user: str) -> str | None:
        """Nothing is told from here."""
        return None

    async def iterate(self, _path: str, _user: str) -> list[tuple[str, str]]:
        """Nothing is told from here."""
        return []

    async def commit(self, _user: str, changes: Sequence[Change]) -> None:
        """Note the days of the logins."""
        logins = [_login(change) for change in changes]
        with _as_failure(), temporary():
            for username, timestamp in logins:
                await self._store.record_login(username, timestamp)


def _login(change: Change) -> tuple[str, int]:
    username, timestamp = keys.parse_last_login(change.key), keys.parse_timestamp(change.value)
    if username is None or timestamp is None:
        raise DictFailure(f"{keys.LAST_LOGIN}USER is set to a time in seconds, nothing else")
    return username, timestamp


@contextmanager
def _as_failure() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise DictFailure(str(error)) from None
