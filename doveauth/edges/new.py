"""Account creation over HTTP: `POST /new` behind the relay's web server.

A client posts without a body and gets an address and a password, which it then logs in with; only
that first login makes the account, so that nothing is on disk for those who never come. What is
refused is told in words for a person (`{"reason": …}`): clients show them as they stand.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from doveauth.admissions import InvitationAdmissions
from doveauth.credentials import new_address, new_password
from doveauth.networks import NetworkLimit
from doveauth.policy import Resources, Rules, shortage
from relay.config import Config
from relay.log import unexpected

log = logging.getLogger(__name__)

PATH = "/new"
CLIENT_HEADER = "X-Real-IP"
"""Where the web server puts the client's address. Nobody else reaches the socket."""
MAX_BODY = 4096
"""Octets; an invitation needs few."""
FIELD = "invitation"
_CLOSED = "This relay does not take new users at the moment."
_NOT_INVITED = "This relay takes new users by invitation only. Ask whom you know there for a link."
_BAD_INVITATION = "This invitation is not valid (any more). Ask for a new one."
_TOO_MANY = "Too many new addresses from your network. Try again in an hour."
_BUSY = "This relay is too busy to take new users right now. Try again later."


class Refused(Exception):  # noqa: N818 - says what is the matter
    """No credentials are given out; the text is for the person who asked."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Onboarding:
    """Hands out credentials by the rules of the configuration."""

    def __init__(
        self,
        config: Config,
        admissions: InvitationAdmissions,
        resources: Callable[[], Resources],
        network: NetworkLimit,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resources` is asked in a thread; `network` has an allowance of its own."""
        self._config = config
        self._rules = Rules.of(config)
        self._admissions = admissions
        self._resources = resources
        self._network = network
        self._monotonic = monotonic

    def application(self) -> web.Application:
        """What answers the web server."""
        result = web.Application(client_max_size=MAX_BODY)
        result.router.add_post(PATH, self._answer)
        return result

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(await self._credentials(request))
        except Refused as refused:
            log.info("no credentials were handed out: %s", refused)
            return _refusal(refused.status, str(refused))
        except web.HTTPRequestEntityTooLarge:
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _BAD_INVITATION)
        except OSError as error:
            log.error("no credentials can be handed out: %s", error.strerror)  # noqa: TRY400 - foreseen
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the service
            unexpected(log, "POST /new", error)
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)

    async def _credentials(self, request: web.Request) -> dict[str, str]:
        token = await _invitation(request)
        await asyncio.to_thread(self._check_relay, self._config.nocreate_path)
        if self._rules.registration == "invite" and not token:
            raise Refused(HTTPStatus.FORBIDDEN, _NOT_INVITED)
        if not self._network.allow(request.headers.get(CLIENT_HEADER), self._monotonic()):
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, _TOO_MANY)
        address, password = new_address(self._config), new_password(self._config)
        if self._rules.registration == "invite" and not await self._admissions.redeem(
            token, address, password
        ):
            raise Refused(HTTPStatus.FORBIDDEN, _BAD_INVITATION)
        return {"email": address, "password": password}

    def _check_relay(self, nocreate_path: Path) -> None:
        if self._rules.registration == "closed" or nocreate_path.exists():
            raise Refused(HTTPStatus.FORBIDDEN, _CLOSED)
        if shortage(self._resources(), self._rules):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)


async def _invitation(request: web.Request) -> str:
    """The token in the query, a form or a JSON object; empty where there is none."""
    if FIELD in request.query:
        return request.query[FIELD]
    if not request.can_read_body:
        return ""
    if request.content_type == "application/json":
        try:
            value = await request.json()
        except ValueError:
            raise Refused(HTTPStatus.BAD_REQUEST, _BAD_INVITATION) from None
        given = value.get(FIELD) if isinstance(value, dict) else None
    else:
        given = (await request.post()).get(FIELD)
    return given if isinstance(given, str) else ""


def _refusal(status: HTTPStatus, reason: str) -> web.Response:
    return web.json_response({"reason": reason}, status=status)
