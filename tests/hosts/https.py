"""Clients of mail over port 443, where they say by ALPN what they speak."""

import imaplib
import smtplib
import socket
import ssl

from sandbox.clients import SECONDS
from sandbox.probes import client_context
from tests.hosts.relay import DOMAIN, Relay

HTTPS = 443


def connected(relay: Relay, alpn: list[str], source: str = "") -> ssl.SSLSocket:
    """A TLS connection to port 443 that offers these protocols."""
    context = client_context()
    if alpn:
        context.set_alpn_protocols(alpn)
    plain = socket.create_connection(
        (relay.address, HTTPS), timeout=SECONDS, source_address=(source, 0)
    )
    return context.wrap_socket(plain, server_hostname=DOMAIN)


class HttpsImap(imaplib.IMAP4):
    """IMAP over a connection that is there."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        super().__init__(DOMAIN)

    def _create_socket(self, _timeout: float | None) -> socket.socket:
        return self._connection


class HttpsSmtp(smtplib.SMTP):
    """SMTP over a connection that is there."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        super().__init__(DOMAIN, timeout=SECONDS)

    def _get_socket(self, *_: object) -> socket.socket:
        return self._connection
