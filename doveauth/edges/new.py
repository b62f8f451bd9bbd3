"""Addresses over HTTP: `POST /new` behind the relay's web server.

A client posts without a body and gets an address and a password, which it then logs in with; only
that first login makes the account, so that nothing is on disk for clients that never come. A
refusal is in words for a person (`{"reason": …}`): clients show them as they are.
"""

import logging
from http import HTTPStatus

from aiohttp import web

from doveauth.offers import Offers, Refused
from doveauth.policy import Refusal
from doveauth.registrar import NotNow
from relay.log import unexpected

log = logging.getLogger(__name__)

PATH = "/new"
CLIENT_HEADER = "X-Real-IP"
"""Where the web server puts the client's address. Nobody else reaches the socket."""
MAX_BODY = 4096
"""Octets; an invitation needs few."""
FIELD = "invitation"
_BAD_INVITATION = "This invitation is not valid (any more). Ask for a new one."
_BUSY = "This relay is too busy to take new users right now. Try again later."
_WORDS = {
    Refusal.CLOSED: (
        HTTPStatus.FORBIDDEN,
        "This relay does not take new users at the moment.",
    ),
    Refusal.NOT_INVITED: (
        HTTPStatus.FORBIDDEN,
        "This relay takes new users by invitation only. "
        "Ask someone who uses it for an invitation link.",
    ),
    Refusal.BAD_INVITATION: (HTTPStatus.FORBIDDEN, _BAD_INVITATION),
    Refusal.NETWORK: (
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many new addresses from your network. Try again in an hour.",
    ),
}
"""Status and words for a refusal; for any other one the relay is busy."""


class Malformed(Exception):
    """The body is not what its content type says, or did not arrive."""


class Onboarding:
    """Answers the web server."""

    def __init__(self, offers: Offers) -> None:
        self._offers = offers

    def application(self) -> web.Application:
        """Return the application that answers the web server."""
        result = web.Application(client_max_size=MAX_BODY)
        result.router.add_post(PATH, self._answer)
        return result

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            token = await _token(request)
            offer = await self._offers.offer(token, _client(request))
            return web.json_response({"email": offer.address, "password": offer.password})
        except Refused as refused:
            status, words = _WORDS.get(refused.refusal, (HTTPStatus.SERVICE_UNAVAILABLE, _BUSY))
            return _refusal(status, words)
        except Malformed:
            return _refusal(HTTPStatus.BAD_REQUEST, _BAD_INVITATION)
        except web.HTTPRequestEntityTooLarge:
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _BAD_INVITATION)
        except NotNow:
            pass  # its reason has been logged
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the service
            unexpected(log, "POST /new", error)
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)


def _client(request: web.Request) -> str:
    """Return the client's address; none, or more than one, is unreadable."""
    given = request.headers.getall(CLIENT_HEADER, [])
    return given[0] if len(given) == 1 else ""


async def _token(request: web.Request) -> str:
    """Return the token in the query, a form or a JSON object; empty where there is none.

    Raises Malformed.
    """
    try:
        given = request.query[FIELD] if FIELD in request.query else await _token_in_body(request)
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - a stranger's octets; parsers raise many things
        log.debug("a malformed body: %r", error)
        raise Malformed from None
    if not isinstance(given, str):
        return ""
    if not given.isascii():
        raise Malformed
    return given


async def _token_in_body(request: web.Request) -> object:
    if not request.can_read_body:
        return ""
    if request.content_type == "application/json":
        value = await request.json()
        return value.get(FIELD) if isinstance(value, dict) else None
    return (await request.post()).get(FIELD)


def _refusal(status: HTTPStatus, reason: str) -> web.Response:
    return web.json_response({"reason": reason}, status=status)
