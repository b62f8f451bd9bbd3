"""A daemon's figures for Prometheus, on a unix socket of their own.

`curl --unix-socket PATH http://localhost/metrics` reads them, and so does `postern status`.
Figures count and time; no address, token or client network is ever a label.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

METRICS = "metrics-socket"
"""The name of the listening socket, where a daemon is given one."""
PATH = "/metrics"


async def _nothing() -> None:
    pass


def application(
    registry: CollectorRegistry, refresh: Callable[[], Awaitable[None]] = _nothing
) -> web.Application:
    """What answers `GET /metrics` with the figures of `registry`, after a `refresh` of them."""

    async def metrics(_request: web.Request) -> web.Response:
        await refresh()
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    result = web.Application()
    result.router.add_get(PATH, metrics)
    return result
