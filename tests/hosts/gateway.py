"""A stand-in for the push gateway, beside the hosts: HTTPS, and every token is taken."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(slots=True)
class Gateway:
    """What has arrived so far."""

    port: int
    tokens: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        """Where a host that knows this machine by `name` posts to."""
        return f"https://{name}:{self.port}/notify"


@contextmanager
def serving(address: str, certificate: Path, key: Path) -> Iterator[Gateway]:
    """Serve on any free port of an address of this machine."""
    server = ThreadingHTTPServer((address, 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # Each connection's thread does its handshake, so that a slow one holds up nobody else.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    gateway = Gateway(server.server_port)
    server.tokens = gateway.tokens  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, name="gateway", daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        token = self.rfile.read(int(self.headers["Content-Length"])).decode()
        known = self.path == "/notify"
        if known:
            self.server.tokens.append(token)  # type: ignore[attr-defined]
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""
