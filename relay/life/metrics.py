"""A daemon's figures for Prometheus, on a unix socket of their own.

`curl --unix-socket PATH http://localhost/metrics` reads them, and so does `postern status`.
Figures count and time; no address, token or client network is ever a label.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from relay.life.webserver import Answer, Request, WebServer

METRICS = "metrics-socket"
"""The name of the listening socket, where a daemon is given one."""
PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""


async def _nothing() -> None:
    pass


def metrics_server(
    rendered: Callable[[], bytes], refresh: Callable[[], Awaitable[None]] = _nothing
) -> WebServer:
    """Return what answers `GET /metrics` with figures in Prometheus' text format, refreshed."""

    async def answer(request: Request) -> Answer:
        if (request.method, request.path) != ("GET", PATH):
            return Answer(HTTPStatus.NOT_FOUND, "figures are at /metrics\n")
        await refresh()
        return Answer(HTTPStatus.OK, rendered().decode(), CONTENT_TYPE)

    return WebServer(answer)
