"""What Dovecot's last_login plugin writes, over the dict protocol; it never reads.

The key is the plugin's own, `last-login/%u`, before which Dovecot puts `shared/`; the value is in
seconds since the epoch (Dovecot: "last_login plugin").
"""

import logging
import re
from collections.abc import Sequence

from doveauth.registrar import NotNow, Registrar
from relay.dovecot.dictproto import Change
from relay.dovecot.dictserver import DictFailure

log = logging.getLogger(__name__)

LAST_LOGIN = "shared/last-login/"
# Eleven digits reach the year 5138; a longer number is no time of a login.
_TIMESTAMP = re.compile(r"[0-9]{1,11}", re.ASCII)


class LastLoginHandler:
    """Notes the days of logins."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._warned = False

    async def lookup(self, _key: str, _user: str) -> str | None:
        """Fail: Dovecot, set up as documented, never asks."""
        raise self._unintelligible("a lookup")

    async def iterate(self, _path: str, _user: str) -> list[tuple[str, str]]:
        """Fail: Dovecot, set up as documented, never asks."""
        raise self._unintelligible("an iteration")

    async def commit(self, _user: str, changes: Sequence[Change]) -> None:
        """Record the days of the logins; all are understood before one is recorded."""
        logins = [self._login(change) for change in changes]
        try:
            for username, timestamp in logins:
                await self._registrar.record_login(username, timestamp)
        except NotNow as error:
            raise DictFailure(str(error)) from None

    def _login(self, change: Change) -> tuple[str, int]:
        is_login = change.key.startswith(LAST_LOGIN)
        if not is_login or not _TIMESTAMP.fullmatch(change.value or ""):
            raise self._unintelligible("a change")
        return change.key.removeprefix(LAST_LOGIN), int(change.value or "")

    def _unintelligible(self, what: str) -> DictFailure:
        """Return a temporary failure: a slip in Dovecot's configuration must lose nothing."""
        if not self._warned:
            self._warned = True
            log.warning(
                "Dovecot sent %s that is not understood: last_login_dict and last_login_key have "
                "to be as documented (this is logged once)",
                what,
            )
        return DictFailure(f"{LAST_LOGIN}USER is set to a time in seconds, nothing else")
