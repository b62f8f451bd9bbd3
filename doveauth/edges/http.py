"""What Dovecot's Lua asks, over HTTP on a unix socket: its passdb and userdb.

- `POST /passdb` (username, password, remote) and `POST /userdb` (username), each a form: 200 and
  a line `name=value` per field; 404 with `NOBODY` where there is no such user, or none may be made;
  503 where there is no answer now. Only a login is answered with the hash: nobody needs it in a
  userdb, and doveadm would print it.
- `GET /users`: 200 and a name per line.

Any other status is a temporary failure to the Lua, like no answer at all. So a question that is not
understood is answered with 400 or 503, and never with a 404. Source: Dovecot 2.3 and 2.4, "Lua
authentication database".
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from doveauth.registrar import NotNow, Registrar
from doveauth.stores.protocol import Account
from relay.life.webserver import Answer, Request
from relay.log import unexpected
from relay.owner import Owner

log = logging.getLogger(__name__)

NOBODY = "no such user\n"
"""The Lua takes a 404 without this for a temporary failure."""


class Lookups:
    """Answers the passdb and userdb of Dovecot's Lua."""

    def __init__(self, registrar: Registrar, owner: Owner) -> None:
        """Dovecot reads and writes mail as `owner`."""
        self._registrar = registrar
        self._owner = owner
        self._warned = False

    async def answer(self, request: Request) -> Answer:
        """Answer a question; 503 where that cannot be done now, and for whatever nobody foresaw."""
        try:
            match request.method, request.path:
                case "POST", "/passdb":
                    return await self._passdb(request)
                case "POST", "/userdb":
                    return await self._userdb(request)
                case "GET", "/users":
                    return await self._users()
            return self._not_understood()
        except NotNow as error:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception as error:  # noqa: BLE001 - one question's fault must not end the service
            unexpected(log, "a lookup", error)
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "internal error")

    async def _passdb(self, request: Request) -> Answer:
        form = _form(request)
        if not {"username", "password"} <= form.keys():
            return self._not_understood()
        account = await self._registrar.login(
            form["username"], form["password"], form.get("remote") or None
        )
        if account is None:
            return _nobody()
        return _found(self._fields(account) | {"password": account.password_hash})

    async def _userdb(self, request: Request) -> Answer:
        form = _form(request)
        if "username" not in form:
            return self._not_understood()
        account = await self._registrar.find(form["username"])
        return _nobody() if account is None else _found(self._fields(account))

    async def _users(self) -> Answer:
        names = await self._registrar.names()
        return Answer(HTTPStatus.OK, "\n".join([*names, ""]))

    def _not_understood(self) -> Answer:
        if not self._warned:
            self._warned = True
            log.warning(
                "Dovecot asked a question that is not understood: is its doveauth.lua of this "
                "version? (this is logged once)"
            )
        return Answer(HTTPStatus.BAD_REQUEST)

    def _fields(self, account: Account) -> dict[str, str | int]:
        return {
            "addr": account.address,
            "home": str(account.home),
            "uid": self._owner.uid,
            "gid": self._owner.gid,
        }


def _form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form; octets that are not UTF-8 survive as surrogates.

    There are none in a body that is too large: Dovecot's own limits on names and passwords,
    URL-encoded, come to less.
    """
    if request.too_large:
        return {}
    body = request.content.decode("ascii", "surrogateescape")
    return dict(parse_qsl(body, keep_blank_values=True, errors="surrogateescape"))


def _found(fields: Mapping[str, str | int]) -> Answer:
    return Answer(HTTPStatus.OK, "".join(f"{name}={value}\n" for name, value in fields.items()))


def _nobody() -> Answer:
    return Answer(HTTPStatus.NOT_FOUND, NOBODY)
