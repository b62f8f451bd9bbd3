"""A real ACME server (Pebble) on a host, which validates names as that host resolves them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.hosts.host import Host
from tests.support import poll

_PORT = 14000
_HOME = "/root/acme"
_DAYS = 90
_CONFIG = {
    "pebble": {
        "listenAddress": f"0.0.0.0:{_PORT}",
        "managementListenAddress": "127.0.0.1:15000",
        "certificate": f"{_HOME}/fullchain.pem",
        "privateKey": f"{_HOME}/privkey.pem",
        "httpPort": 80,
        "tlsPort": 443,
        "profiles": {"default": {"description": "As usual", "validityPeriod": _DAYS * 86400}},
    }
}


@contextmanager
def acme_server(host: Host, name: str) -> Iterator[str]:
    """Run it under a name of the host's certificate; gives the URL of its directory."""
    host.shell(f"mkdir -p {_HOME}; cp /etc/postern/tls/*.pem {_HOME}")
    host.write(f"{_HOME}/pebble.json", json.dumps(_CONFIG))
    settings = ["--setenv=PEBBLE_VA_NOSLEEP=1", "--setenv=PEBBLE_WFE_NONCEREJECT=0"]
    command = ["pebble", "-config", f"{_HOME}/pebble.json"]
    host.run("systemd-run", "--quiet", "--unit=acme-server", *settings, *command)
    url = f"https://{name}:{_PORT}/dir"
    try:
        poll(lambda: _answers(host), "the ACME server")
        yield url
    finally:
        host.run("systemctl", "stop", "acme-server", check=False)


def _answers(host: Host) -> bool:
    return f":{_PORT} " in host.run("ss", "--listening", "--tcp", "--numeric")
