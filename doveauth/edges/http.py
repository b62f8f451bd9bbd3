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
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from aiohttp import web

from doveauth.registrar import NotNow, Registrar
from doveauth.stores.protocol import Account
from relay.log import unexpected
from relay.owner import Owner

log = logging.getLogger(__name__)

MAX_BODY = 256 * 1024
"""Octets; Dovecot's own limits on names and passwords, URL-encoded, come to less."""
NOBODY = "no such user\n"
"""The Lua takes a 404 without this for a temporary failure."""


class Lookups:
    """Answers the passdb and userdb of Dovecot's Lua."""

    def __init__(self, registrar: Registrar, owner: Owner) -> None:
        """Dovecot reads and writes mail as `owner`."""
        self._registrar = registrar
        self._owner = owner
        self._warned = False

    def application(self) -> web.Application:
        """Return the application that answers Dovecot."""
        result = web.Application(client_max_size=MAX_BODY)
        for method, path, answer in (
            ("POST", "/passdb", self._passdb),
            ("POST", "/userdb", self._userdb),
            ("GET", "/users", self._users),
        ):
            result.router.add_route(method, path, _temporary(answer))
        result.router.add_route("*", "/{path:.*}", self._not_understood)
        return result

    async def _passdb(self, request: web.Request) -> web.Response:
        form = await _form(request)
        if not {"username", "password"} <= form.keys():
            return await self._not_understood(request)
        account = await self._registrar.login(
            form["username"], form["password"], form.get("remote") or None
        )
        if account is None:
            return _nobody()
        return _found(self._fields(account) | {"password": account.password_hash})

    async def _userdb(self, request: web.Request) -> web.Response:
        form = await _form(request)
        if "username" not in form:
            return await self._not_understood(request)
        account = await self._registrar.find(form["username"])
        return _nobody() if account is None else _found(self._fields(account))

    async def _users(self, _request: web.Request) -> web.Response:
        names = await self._registrar.names()
        return web.Response(text="\n".join([*names, ""]))

    async def _not_understood(self, _request: web.Request) -> web.Response:
        if not self._warned:
            self._warned = True
            log.warning(
                "Dovecot asked a question that is not understood: is its doveauth.lua of this "
                "version? (this is logged once)"
            )
        return web.Response(status=HTTPStatus.BAD_REQUEST)

    def _fields(self, account: Account) -> dict[str, str | int]:
        return {
            "addr": account.address,
            "home": str(account.home),
            "uid": self._owner.uid,
            "gid": self._owner.gid,
        }


_Handler = Callable[[web.Request], Awaitable[web.Response]]


def _temporary(handler: _Handler) -> _Handler:
    """Answer 503 where `handler` cannot answer now, and for whatever nobody foresaw."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except NotNow as error:
            return _unavailable(str(error))
        except web.HTTPException:
            raise  # the body is too large
        except ConnectionResetError:
            return _unavailable("nobody is there to read this")
        except Exception as error:  # noqa: BLE001 - one question's fault must not end the service
            unexpected(log, "a lookup", error)
            return _unavailable("internal error")

    return answer


async def _form(request: web.Request) -> Mapping[str, str]:
    """Return the fields of a form; octets that are not UTF-8 survive as surrogates."""
    # aiohttp's own parser would refuse those: a password may be any octets.
    body = (await request.read()).decode("ascii", "surrogateescape")
    return dict(parse_qsl(body, keep_blank_values=True, errors="surrogateescape"))


def _found(fields: Mapping[str, str | int]) -> web.Response:
    return web.Response(text="".join(f"{name}={value}\n" for name, value in fields.items()))


def _nobody() -> web.Response:
    return web.Response(status=HTTPStatus.NOT_FOUND, text=NOBODY)


def _unavailable(reason: str) -> web.Response:
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=reason)
