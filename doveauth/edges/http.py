"""HTTP's edge, for Dovecot 2.4, which has no dict passdb: its Lua asks on a unix socket.

- `POST /passdb` (username, password, remote) and `POST /userdb` (username), each a form: 200 and
  a line `name=value` a field; 404 where there is no such user, or none may be made; 503 where
  there is no answer now.
- `GET /users`: 200 and a name a line.

A status that is none of these is a temporary failure to the Lua, like no answer at all. Source:
Dovecot 2.4, "Lua Authentication Database" and "Dovecot Lua Support", HTTP client.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from aiohttp import web

from doveauth.edges.answers import Answers, Fields, Unavailable
from doveauth.edges.dictkeys import Credentials, User
from relay.log import unexpected

log = logging.getLogger(__name__)

MAX_BODY = 256 * 1024
"""Octets: what Dovecot's own limits on names and passwords come to once encoded, and more."""


class Lookups:
    """Answers the passdb and userdb of Dovecot's Lua."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def application(self) -> web.Application:
        """What answers Dovecot."""
        result = web.Application(client_max_size=MAX_BODY)
        result.router.add_post("/passdb", self._passdb)
        result.router.add_post("/userdb", self._userdb)
        result.router.add_get("/users", self._users)
        return result

    async def _passdb(self, request: web.Request) -> web.Response:
        form = await _form(request)
        try:
            question = Credentials(form["username"], form["password"], form.get("remote") or None)
        except KeyError:
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        return await self._answer(question)

    async def _userdb(self, request: web.Request) -> web.Response:
        form = await _form(request)
        if "username" not in form:
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        return await self._answer(User(form["username"]))

    async def _answer(self, question: Credentials | User) -> web.Response:
        try:
            fields = await self._answers.fields(question)
        except Unavailable as error:
            return _unavailable(str(error))
        except Exception as error:  # noqa: BLE001 - one question's fault must not end the service
            unexpected(log, "a lookup", error)
            return _unavailable("internal error")
        if fields is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.Response(text=_lines(fields))

    async def _users(self, _request: web.Request) -> web.Response:
        try:
            names = await self._answers.names()
        except Unavailable as error:
            return _unavailable(str(error))
        except Exception as error:  # noqa: BLE001 - as above
            unexpected(log, "a listing", error)
            return _unavailable("internal error")
        return web.Response(text="".join(f"{name}\n" for name in names))


async def _form(request: web.Request) -> Mapping[str, str]:
    """The fields of a form; octets that are not UTF-8 survive as surrogates."""
    # aiohttp's own parser would refuse those: a password may be any octets.
    body = (await request.read()).decode("ascii", "surrogateescape")
    return dict(parse_qsl(body, keep_blank_values=True, errors="surrogateescape"))


def _lines(fields: Fields) -> str:
    return "".join(f"{name}={value}\n" for name, value in fields.items())


def _unavailable(reason: str) -> web.Response:
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=reason)
