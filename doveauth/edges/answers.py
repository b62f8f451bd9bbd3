"""What Dovecot asks of its passdb and userdb, answered; over which protocol is not known here."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from doveauth.edges.dictkeys import Credentials, User
from doveauth.figures import Figures
from doveauth.hashing import HashingFailed
from doveauth.stores.files import Account, AccountStore, NotNow
from relay.owner import Owner

log = logging.getLogger(__name__)

Fields = dict[str, str | int]


class Unavailable(Exception):  # noqa: N818 - says what is the matter
    """There is no answer now, and there may be later; the text is for Dovecot and names nobody."""


class Answers:
    """The passdb and the userdb over one account store. Every method raises Unavailable."""

    def __init__(self, store: AccountStore, owner: Owner, figures: Figures) -> None:
        self._store = store
        self._owner = owner
        self._figures = figures

    async def fields(self, request: Credentials | User) -> Fields | None:
        """The fields of a user, None where there is none.

        A login with an admissible new name makes the account first. Only a login is told the
        hash: nobody needs it in a userdb, and doveadm would print it.
        """
        kind = "passdb" if isinstance(request, Credentials) else "userdb"
        began, result = time.perf_counter(), "failed"
        try:
            with temporary():
                fields = await self._fields_for(request)
            result = "unknown" if fields is None else "found"
        finally:
            self._figures.answered(kind, result, time.perf_counter() - began)
        return fields

    async def names(self) -> list[str]:
        """Every account's address."""
        with temporary():
            return await self._store.names()

    async def _fields_for(self, request: Credentials | User) -> Fields | None:
        if isinstance(request, User):
            account = await self._store.find(request.username)
            return self._userdb(account) if account else None
        account = await self._store.login_or_create(
            request.username, request.password, request.remote
        )
        return self._userdb(account) | {"password": account.password_hash} if account else None

    def _userdb(self, account: Account) -> Fields:
        return {
            "addr": account.address,
            "home": str(account.home),
            "uid": self._owner.uid,
            "gid": self._owner.gid,
        }


@contextmanager
def temporary() -> Iterator[None]:
    """What keeps the store from answering is Unavailable, never a wrong password."""
    try:
        yield
    except OSError as error:
        # An OSError's own text has the path, and so the address.
        log.error("the mailboxes cannot be read or written: %s", error.strerror)  # noqa: TRY400 - foreseen
        raise Unavailable("the mailboxes cannot be read or written now") from None
    except NotNow as limit:
        # The store has logged and counted it.
        raise Unavailable(f"no account can be made now: {limit}") from None
    except HashingFailed as error:
        log.error("a password cannot be hashed: %s", error)  # noqa: TRY400 - foreseen
        raise Unavailable("a password cannot be hashed now") from None
