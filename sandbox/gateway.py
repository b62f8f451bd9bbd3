"""A stand-in for the push gateway: it takes every token and tells how many came.

    python -m sandbox.gateway --port PORT

`POST /notify` with a token as its body is answered 200, as the real gateway does for a token it
can deliver to. `GET /` tells the arrivals as JSON: how many, and each with its token and time.
"""

import argparse
import time
from dataclasses import asdict, dataclass, field

from aiohttp import web

KEPT = 100_000
"""Arrivals that are remembered; older ones are only counted."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One push: its token and when it came, in seconds since the epoch."""

    token: str
    time: float


@dataclass(slots=True)
class Gateway:
    """What has arrived so far."""

    count: int = 0
    arrivals: list[Arrival] = field(default_factory=list)

    async def notify(self, request: web.Request) -> web.Response:
        """Take one push."""
        self.count += 1
        self.arrivals.append(Arrival(await request.text(), time.time()))
        del self.arrivals[:-KEPT]
        return web.Response()

    async def show(self, _request: web.Request) -> web.Response:
        """Tell what has arrived."""
        return web.json_response(
            {"count": self.count, "arrivals": [asdict(arrival) for arrival in self.arrivals]}
        )

    def app(self) -> web.Application:
        """The web application that answers."""
        app = web.Application()
        app.add_routes([web.post("/notify", self.notify), web.get("/", self.show)])
        return app


def main() -> None:
    """Serve on a loopback port until SIGTERM."""
    parser = argparse.ArgumentParser(description="a stand-in for the push gateway")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    web.run_app(Gateway().app(), host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()
