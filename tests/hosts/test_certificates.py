"""The relay's certificate: from a real ACME server, renewed under load, external, self-signed."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from postern.host.certificates import selfsigned
from postern.host.certificates.pair import Pair, parse
from postern.host.install.plan import CURRENT as VENV
from sandbox.clients import SECONDS
from sandbox.letters import encrypted
from sandbox.login import Login
from sandbox.probes import client_context
from tests.hosts.acme import acme_server
from tests.hosts.host import HostFailed
from tests.hosts.letters import account, submit, submit_encrypted, together, wait_for_ids
from tests.hosts.relay import CONFIG, DOMAIN, Relay
from tests.support import poll

POSTERN = f"{VENV}/bin/postern"
UNIT = "postern-certificates.service"
TLS = "/etc/postern/tls"
THEIRS = "/etc/ssl/theirs"
SHOWN_ON = ((993, ""), (465, ""), (443, "imap"), (443, "smtp"), (443, "http/1.1"))
"""Each server that shows the certificate: a port, and what the client offers to speak."""


@pytest.fixture(scope="module")
def acme(relay: Relay) -> Iterator[Relay]:
    """The relay, with an ACME server; what it had before is put back."""
    host = relay.host
    config, hosts = (host.run("cat", path) for path in (CONFIG, "/etc/hosts"))
    host.shell(f"cp -a {TLS} {TLS}.before")
    with acme_server(host, DOMAIN) as directory:
        host.write(CONFIG, f"{config}acme_directory = {directory}\n")
        yield relay
    host.write(CONFIG, config)
    host.write("/etc/hosts", hosts)
    host.shell(
        f"rm -rf {TLS}; mv {TLS}.before {TLS}; for unit in dovecot postfix nginx; do "
        "systemctl reload $unit; done"
    )


@pytest.fixture
def config(acme: Relay) -> Iterator[str]:
    """The configuration, which a test may change."""
    text = acme.host.run("cat", CONFIG)
    yield text
    acme.host.write(CONFIG, text)
    acme.host.systemctl("start", UNIT)


def shown(relay: Relay, port: int, alpn: str) -> bytes:
    """The certificate that a client is shown."""
    context = client_context()
    if alpn:
        context.set_alpn_protocols([alpn])
    with (
        socket.create_connection((relay.address, port), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=DOMAIN) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def installed(relay: Relay) -> Pair:
    """The pair that the servers read."""
    files = (f"{TLS}/fullchain.pem", f"{TLS}/privkey.pem")
    chain, key = (relay.host.run("cat", path).encode() for path in files)
    return parse(chain, key)


def is_shown_everywhere(relay: Relay, pair: Pair) -> bool:
    """Whether every server shows a certificate."""
    return all(shown(relay, *where) == pair.der for where in SHOWN_ON)


def status(relay: Relay) -> dict[str, object]:
    """What `postern certificates status --json` says."""
    said = relay.host.run(POSTERN, "certificates", "status", "--json", check=False)
    found: dict[str, object] = json.loads(said)
    return found


def test_a_self_signed_certificate_of_a_real_name_is_an_alarm(acme: Relay) -> None:
    found = status(acme)
    assert not found["well"]
    with pytest.raises(HostFailed, match="!! the certificate is self-signed"):
        acme.host.run(POSTERN, "certificates", "status")


def test_the_timers_unit_gets_a_certificate(acme: Relay) -> None:
    before = installed(acme)
    acme.host.systemctl("start", UNIT)
    pair = installed(acme)
    assert pair != before
    assert (pair.names, pair.is_self_signed) == ([DOMAIN], False)
    poll(lambda: is_shown_everywhere(acme, pair), "the new certificate everywhere")
    assert status(acme)["well"], status(acme)
    assert "valid until" in acme.host.run(POSTERN, "status")
    acme.host.systemctl("start", UNIT)
    assert installed(acme) == pair


def test_a_name_that_comes_to_lead_here_is_added(acme: Relay) -> None:
    hosts = acme.host.run("cat", "/etc/hosts")
    added = f"mta-sts.{DOMAIN}"
    acme.host.write("/etc/hosts", f"{hosts}{acme.address} {added}\n")
    acme.host.systemctl("start", UNIT)
    assert installed(acme).names == [DOMAIN, added]


def test_an_order_that_fails_says_why_and_changes_nothing(acme: Relay, config: str) -> None:
    before = installed(acme)
    acme.host.write(CONFIG, for_domain(config, "nowhere.example.org"))
    with pytest.raises(HostFailed, match=r"!! nowhere\.example\.org could not be validated"):
        acme.host.run(POSTERN, "certificates", "renew")
    assert installed(acme) == before


def for_domain(config: str, domain: str) -> str:
    """The configuration of another relay."""
    return config.replace(f"mail_domain = {DOMAIN}", f"mail_domain = {domain}")


class Sender:
    """Writes a message a second over a new connection, and hears no refusal."""

    def __init__(self, relay: Relay, sender: Login, recipient: Login) -> None:
        self._relay, self._from, self._to = relay, sender, recipient
        self._enough = threading.Event()
        self.sent: list[str] = []

    def run(self) -> None:
        """Send until it is enough; raises at the first refusal."""
        while not self._enough.wait(1):
            name = f"renewal-{len(self.sent)}"
            letter = encrypted(self._from.address, name)
            answer = submit(self._relay, self._from, self._to, letter)
            assert answer[0] == 250, answer
            self.sent.append(name)

    def stop(self) -> None:
        """It is enough."""
        self._enough.set()


def test_a_renewal_refuses_nothing(acme: Relay) -> None:
    """By certbot's own command, as its timer runs it."""
    acme.host.systemctl("start", UNIT)
    before = installed(acme)
    alice, bob, carol = account(acme), account(acme), account(acme)
    sender = Sender(acme, alice, bob)

    def renew() -> None:
        try:
            acme.host.run(
                "certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew", "--quiet"
            )
            poll(lambda: is_shown_everywhere(acme, installed(acme)), "the new one everywhere")
            count = len(sender.sent)
            poll(lambda: len(sender.sent) >= count + 2, "messages after it")
        finally:
            sender.stop()

    with acme.imap(bob) as awaiting, acme.imap(carol) as idle:
        awaiting.start_idle()
        idle.start_idle()
        assert together(sender.run, renew) == []
        submit_encrypted(acme, alice, carol, "to-the-idle")
        for client in (awaiting, idle):
            client.wait_for_exists()
            client.end_idle()
    assert installed(acme).leaf.serial_number != before.leaf.serial_number
    wait_for_ids(acme, bob, sender.sent)


def _bring(relay: Relay, pair: Pair) -> None:
    relay.host.write(f"{THEIRS}/chain.pem", pair.chain.decode())
    relay.host.write(f"{THEIRS}/key.pem", pair.key.decode(), mode=0o600)


def test_an_external_certificate_that_changed_is_served(acme: Relay, config: str) -> None:
    files = f"tls_external_cert_and_key = {THEIRS}/chain.pem {THEIRS}/key.pem\n"
    acme.host.write(CONFIG, config + files)
    for _ in range(2):
        pair = selfsigned.make(DOMAIN, datetime.now(UTC))
        _bring(acme, pair)
        acme.host.systemctl("start", UNIT)
        assert installed(acme) == pair
        poll(lambda pair=pair: is_shown_everywhere(acme, pair), "it everywhere")  # type: ignore[misc]


def test_a_domain_that_begins_with_an_underscore_has_its_own(acme: Relay, config: str) -> None:
    acme.host.write(CONFIG, for_domain(config, "_relay.test"))
    acme.host.run(POSTERN, "certificates", "renew")
    pair = installed(acme)
    assert (pair.names, pair.is_self_signed) == (["_relay.test"], True)
    poll(lambda: is_shown_everywhere(acme, pair), "it everywhere")
    assert status(acme)["well"]
