"""A daemon's figures for Prometheus, on a unix socket of their own.

`curl --unix-socket PATH http://localhost/metrics` reads them, and so does `postern status`.
Figures count and time; no address, token or client network is ever a label.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from relay.life.webserver import Answer, Request, WebServer

METRICS = "metrics-socket"
"""The name of the listening socket, where a daemon is given one."""
PATH = "/metrics"


async def _nothing() -> None:
    pass


def metrics_server(
    registry: CollectorRegistry, refresh: Callable[[], Awaitable[None]] = _nothing
) -> WebServer:
    """Return what answers `GET /metrics` with the figures of a registry, after a refresh."""

    async def answer(request: Request) -> Answer:
        if (request.method, request.path) != ("GET", PATH):
            return Answer(HTTPStatus.NOT_FOUND, "figures are at /metrics\n")
        await refresh()
        return Answer(HTTPStatus.OK, generate_latest(registry).decode(), CONTENT_TYPE_LATEST)

    return WebServer(answer)
