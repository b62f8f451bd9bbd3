"""Addresses over HTTP: `POST /new` behind the relay's web server.

A client posts without a body and gets an address and a password, which it then logs in with; only
that first login makes the account, so that nothing is on disk for clients that never come. A
refusal is in words for a person (`{"reason": …}`): clients show them as they are.
"""

import json
import logging
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from urllib.parse import parse_qs

from doveauth.offers import Offers, Refused
from doveauth.policy import Refusal
from doveauth.registrar import NotNow
from relay.life.webserver import Answer, Request
from relay.log import unexpected

log = logging.getLogger(__name__)

PATH = "/new"
CLIENT_HEADER = "x-real-ip"
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

    async def answer(self, request: Request) -> Answer:
        """Answer a request of the web server's."""
        if (request.method, request.path) != ("POST", PATH):
            return _refusal(HTTPStatus.NOT_FOUND, f"addresses are given at {PATH}, by POST")
        try:
            offer = await self._offers.offer(_token(request), _client(request))
            return _json(HTTPStatus.OK, {"email": offer.address, "password": offer.password})
        except Refused as refused:
            status, words = _WORDS.get(refused.refusal, (HTTPStatus.SERVICE_UNAVAILABLE, _BUSY))
            return _refusal(status, words)
        except Malformed:
            return _refusal(HTTPStatus.BAD_REQUEST, _BAD_INVITATION)
        except NotNow:
            pass  # its reason has been logged
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the service
            unexpected(log, "POST /new", error)
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)


def _client(request: Request) -> str:
    """Return the client's address; none, or more than one, is unreadable."""
    given = request.header(CLIENT_HEADER)
    return given[0] if len(given) == 1 else ""


def _token(request: Request) -> str:
    """Return the token in the query, a form or a JSON object; empty where there is none.

    Raises Malformed.
    """
    try:
        query = parse_qs(request.query, keep_blank_values=True)
        given = query[FIELD][0] if FIELD in query else _token_in_body(request)
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001 - a stranger's octets; parsers raise many things
        log.debug("a malformed body: %r", error)
        raise Malformed from None
    if not isinstance(given, str):
        return ""
    if not given.isascii():
        raise Malformed
    return given


def _token_in_body(request: Request) -> object:
    kind = EmailMessage()
    kind["Content-Type"] = ",".join(request.header("content-type")) or "application/octet-stream"
    match kind.get_content_type():
        case "application/json":
            value = json.loads(_text(request, kind))
            return value.get(FIELD) if isinstance(value, dict) else None
        case "application/x-www-form-urlencoded":
            fields = parse_qs(_text(request, kind), keep_blank_values=True, errors="strict")
            return fields.get(FIELD, [None])[0]
        case "multipart/form-data":
            return _token_in_parts(request, kind)
    return None


def _text(request: Request, kind: EmailMessage) -> str:
    return _body(request).decode(kind.get_content_charset("utf-8"))


def _body(request: Request) -> bytes:
    if request.octets > MAX_BODY:
        raise Malformed
    return bytes(request.content)


def _token_in_parts(request: Request, kind: EmailMessage) -> object:
    """Return the field out of a multipart form (RFC 7578); raises Malformed."""
    head = f"Content-Type: {kind['Content-Type']}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + _body(request))
    parts = list(form.iter_parts())
    if form.defects or not parts:
        raise Malformed
    names = [part.get_param("name", header="content-disposition") for part in parts]
    if None in names:
        raise Malformed
    return parts[names.index(FIELD)].get_content().rstrip("\n") if FIELD in names else None


def _refusal(status: HTTPStatus, reason: str) -> Answer:
    return _json(status, {"reason": reason})


def _json(status: HTTPStatus, value: object) -> Answer:
    return Answer(status, json.dumps(value), "application/json; charset=utf-8")
