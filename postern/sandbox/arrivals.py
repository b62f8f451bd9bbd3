"""What has arrived at a sandbox's stand-in push gateway."""

import json
import time
import urllib.request

from postern.sandbox.ports import LOOPBACK

SECONDS = 20.0


def tokens(port: int) -> list[str]:
    """The tokens that were pushed, oldest first."""
    url = f"http://{LOOPBACK}:{port}/"
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return [arrival["token"] for arrival in json.load(answer)["arrivals"]]


def wait_for_token(port: int, token: str, count: int = 1, seconds: float = SECONDS) -> None:
    """Return once `token` has been pushed `count` times; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while (seen := tokens(port).count(token)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{seen} pushes instead of {count} after {seconds:g} s")
        time.sleep(0.02)
