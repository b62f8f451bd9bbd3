"""nginx before the relay: port 443 is IMAP, SMTP and HTTPS, and limits by network hold."""

import http.client
import imaplib
import json
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.clients import SECONDS
from sandbox.letters import encrypted
from sandbox.login import Login
from sandbox.probes import client_context
from tests.hosts.letters import account, wait_for_ids
from tests.hosts.relay import CONFIG, DOMAIN, Relay
from tests.support import poll

HTTPS = 443
CLIENTS = ("192.0.2.1", "192.0.2.2")
"""Addresses that this machine has besides its own, for clients of two networks."""
ALLOWED = 2
"""New accounts per network and hour, where a test says so."""


def _connected(relay: Relay, alpn: list[str], source: str = "") -> ssl.SSLSocket:
    """A TLS connection to port 443 that offers these protocols."""
    context = client_context()
    if alpn:
        context.set_alpn_protocols(alpn)
    plain = socket.create_connection(
        (relay.address, HTTPS), timeout=SECONDS, source_address=(source, 0)
    )
    return context.wrap_socket(plain, server_hostname=DOMAIN)


class _Imap(imaplib.IMAP4):
    """IMAP over a connection that is there."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        super().__init__(DOMAIN)

    def _create_socket(self, _timeout: float | None) -> socket.socket:
        return self._connection


class _Smtp(smtplib.SMTP):
    """SMTP over a connection that is there."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        super().__init__(DOMAIN, timeout=SECONDS)

    def _get_socket(self, *_: object) -> socket.socket:
        return self._connection


def _log_in_by_imap(relay: Relay, login: Login, source: str) -> None:
    with _Imap(_connected(relay, ["imap"], source)) as imap:
        imap.login(login.address, login.password)


def _log_in_by_smtp(relay: Relay, login: Login, source: str) -> None:
    with _Smtp(_connected(relay, ["smtp"], source)) as smtp:
        smtp.login(login.address, login.password)


def _get(relay: Relay, path: str, *, method: str = "GET", source: str = "", alpn: str = "") -> str:
    """The body of an answer over HTTPS, with its status before it."""
    connection = http.client.HTTPConnection(DOMAIN)
    connection.sock = _connected(relay, [alpn] if alpn else [], source)
    connection.request(method, path)
    response = connection.getresponse()
    text = f"{response.status} {response.read().decode()}"
    connection.close()
    return text


def test_a_message_goes_through_port_443(relay: Relay) -> None:
    alice, bob = account(relay), account(relay)
    with _Smtp(_connected(relay, ["smtp"])) as smtp:
        smtp.login(alice.address, alice.password)
        smtp.sendmail(alice.address, [bob.address], encrypted(alice.address, "by-443"))
    wait_for_ids(relay, bob, ["by-443"])
    with _Imap(_connected(relay, ["imap"])) as imap:
        imap.login(bob.address, bob.password)
        assert imap.select("INBOX")[1] == [b"1"]


@pytest.mark.parametrize("alpn", ["", "http/1.1"])
def test_without_mail_in_its_greeting_a_client_gets_pages(relay: Relay, alpn: str) -> None:
    assert f"<h1>{DOMAIN}</h1>" in _get(relay, "/", alpn=alpn)


def test_a_browser_gets_http2(relay: Relay) -> None:
    with _connected(relay, ["h2", "http/1.1"]) as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_a_protocol_that_nobody_serves_is_refused(relay: Relay) -> None:
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        _connected(relay, ["xmpp-client"])


def test_port_80_leads_to_https_but_for_challenges(relay: Relay) -> None:
    relay.host.write("/var/lib/postern/acme/.well-known/acme-challenge/token", "answer")
    for path, expected in (
        ("/.well-known/acme-challenge/token", (200, None, b"answer")),
        ("/.well-known/acme-challenge/other", (404, None, None)),
        ("/page?a=b", (301, f"https://{DOMAIN}/page?a=b", None)),
    ):
        connection = http.client.HTTPConnection(relay.address, timeout=SECONDS)
        connection.request("GET", path, headers={"Host": DOMAIN})
        response = connection.getresponse()
        status, location, body = expected
        assert (response.status, response.getheader("Location")) == (status, location)
        assert body in (None, response.read())
        connection.close()


def test_other_servers_find_the_mta_sts_policy(relay: Relay) -> None:
    policy = "version: STSv1\nmode: enforce\nmx: chat.example.org\nmax_age: 2419200\n"
    assert _get(relay, "/.well-known/mta-sts.txt") == f"200 {policy}"


def test_an_address_over_new_can_log_in(relay: Relay) -> None:
    status, _, body = _get(relay, "/new", method="POST").partition(" ")
    assert status == "200"
    offered = json.loads(body)
    _log_in_by_imap(relay, Login(offered["email"], offered["password"]), "")


def test_the_operators_own_lines_are_read(relay: Relay) -> None:
    relay.host.write("/etc/postern/local/nginx.conf", 'location = /mine { return 200 "mine"; }\n')
    relay.host.systemctl("reload", "nginx")
    poll(lambda: _get(relay, "/mine") == "200 mine", "the operator's own page")
    relay.host.shell("rm /etc/postern/local/nginx.conf; systemctl reload nginx")


def test_nginx_is_there_again_after_a_crash(relay: Relay) -> None:
    relay.host.systemctl("kill", "--signal=KILL", "nginx.service")
    poll(lambda: _is_served(relay), "nginx again")
    relay.forget_complaints()


def test_no_client_is_named_in_its_log(relay: Relay) -> None:
    relay.host.systemctl("stop", "dovecot")
    with pytest.raises(OSError):  # noqa: PT011 - reset, or an end in the middle of the greeting
        _connected(relay, ["imap"])
    relay.host.systemctl("start", "dovecot")
    assert relay.host.network.here not in relay.host.journal("--unit=nginx")


def _is_served(relay: Relay) -> bool:
    try:
        return _get(relay, "/").startswith("200")
    except OSError:
        return False


@contextmanager
def _few_accounts(relay: Relay) -> Iterator[None]:
    """Let each address make two accounts an hour."""
    before = relay.host.run("cat", CONFIG)
    limits = f"max_creations_per_hour_per_network = {ALLOWED}\nnetwork_prefix_ipv4 = 32\n"
    try:
        relay.host.write(CONFIG, before + limits)
        relay.host.systemctl("reload", "doveauth")
        yield
    finally:
        relay.host.write(CONFIG, before)
        relay.host.systemctl("reload", "doveauth")


@contextmanager
def _client_addresses(relay: Relay) -> Iterator[None]:
    """Give this machine's end of the cable two more addresses."""
    network = relay.host.network
    route = subprocess.run(
        ["ip", "route", "get", network.there], check=True, capture_output=True, text=True
    ).stdout.split()
    cable = route[route.index("dev") + 1]
    try:
        for address in CLIENTS:
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", cable], check=True)
            relay.host.run("ip", "route", "add", f"{address}/32", "dev", "eth0")
        yield
    finally:
        for address in CLIENTS:
            subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", cable], check=False)
            relay.host.run("ip", "route", "delete", f"{address}/32", check=False)


def _status_of_new(relay: Relay, source: str) -> str:
    return _get(relay, "/new", method="POST", source=source).partition(" ")[0]


def test_limits_by_network_count_clients_of_port_443(relay: Relay) -> None:
    """By the client's own address and not by nginx'."""
    first, second = CLIENTS
    with _client_addresses(relay), _few_accounts(relay):
        _log_in_by_imap(relay, relay.login(), first)
        _log_in_by_smtp(relay, relay.login(), first)
        with pytest.raises(imaplib.IMAP4.error):
            _log_in_by_imap(relay, relay.login(), first)
        _log_in_by_imap(relay, relay.login(), second)
        statuses = [_status_of_new(relay, address) for address in (first, first, first, second)]
        assert statuses == ["200", "200", "429", "200"]
