"""What has arrived at a sandbox's stand-in push gateway."""

import json
import time
import urllib.request
from typing import Any

from sandbox.ports import LOOPBACK

SECONDS = 20.0


def tokens(port: int) -> list[str]:
    """The tokens that were pushed, oldest first."""
    return [arrival["token"] for arrival in _told(port)]


def times(port: int) -> dict[str, float]:
    """When each token was pushed last, in seconds since the epoch."""
    return {arrival["token"]: arrival["time"] for arrival in _told(port)}


def wait_for_token(port: int, token: str, count: int = 1, seconds: float = SECONDS) -> None:
    """Return once `token` has been pushed `count` times; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while (seen := tokens(port).count(token)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{seen} pushes instead of {count} after {seconds:g} s")
        time.sleep(0.02)


def _told(port: int) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/", timeout=SECONDS) as answer:
        arrivals: list[dict[str, Any]] = json.load(answer)["arrivals"]
        return arrivals
