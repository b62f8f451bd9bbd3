"""The parts of a relay, and whether each is well.

Our daemons report figures on metrics sockets. filtermail, Postfix and Dovecot must greet a client.
Of Postfix' queue, mail for this relay's own domain counts: it should never wait. Mail for other
domains waits for servers that are not ours. Of the certificate, a renewal that is late counts.
"""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from postern.host.certificates.inspection import inspect
from postern.options import Relay
from postern.status.figures import Figure, Spread
from postern.status.queue import Queue, UnreadableQueue, read_queue
from postern.status.reading import Silent, ask
from relay.config import Config

LOOPBACK = "127.0.0.1"
GREETING_SECONDS = 8.0
"""A busy Postfix, or one with postscreen, takes some."""
LATE_SECONDS = 300
"""How long mail for this relay's own domain may wait in Postfix' queue."""
METRICS = {
    "doveauth": Path("/run/doveauth/metrics.socket"),
    "metadata": Path("/run/metadata/metrics.socket"),
    "filtermail@outgoing": Path("/run/filtermail/outgoing-metrics.socket"),
    "filtermail@incoming": Path("/run/filtermail/incoming-metrics.socket"),
}
"""Where a host's daemons report figures."""
NO_OPERATOR = (
    "nobody reads postmaster@ and abuse@, which every mail server must have (RFC 5321, 4.5.1): "
    "set operator_address in chatmail.ini"
)
ALARMS = {"metadata_gateway_shut": "the push gateway accepts nothing at the moment"}
"""Gauges that are 0 while all is well, and what else they say."""


@dataclass(slots=True)
class Part:
    """One part of the relay."""

    name: str
    text: str = "answers"
    is_well: bool = True
    figures: list[Figure] = field(default_factory=list)


def look(relay: Relay, now: float) -> Iterator[Part]:
    """Every part, one by one."""
    ports = _ports(relay)
    for name in ("doveauth", "metadata"):
        yield _with_hint(relay, _metered(relay, name))
    for name in ("filtermail@outgoing", "filtermail@incoming"):
        yield _with_hint(relay, _filter(relay, name, ports[name]))
    yield _with_hint(relay, _postfix(relay, ports["smtp"], now))
    yield _with_hint(relay, greeted("dovecot", ports["imaps"], b"* OK", tls=True))
    if relay.record is None:
        yield _certificate(relay.config)
        yield operator_part(relay.config)


def operator_part(config: Config) -> Part:
    """Whether somebody reads what the world writes to this relay. It runs without."""
    if config.operator_address is None:
        return Part("operator", NO_OPERATOR)
    return Part("operator", "is reached at postmaster@ and abuse@")


def greeted(name: str, port: int, greeting: bytes, *, tls: bool = False) -> Part:
    """Whether the server on a loopback port greets its client as it should."""
    try:
        with _connection(port, tls=tls) as connection:
            said = connection.recv(512)
    except TimeoutError:
        fault = f"no greeting on port {port} within {GREETING_SECONDS:g} s: it hangs"
        return Part(name, fault, is_well=False)
    except OSError as error:
        fault = f"port {port}: {error.strerror or type(error).__name__}"
        return Part(name, fault, is_well=False)
    if not said.startswith(greeting):
        return Part(name, f"port {port} greets as another server does", is_well=False)
    return Part(name)


def queue_part(queue: Queue, domain: str) -> Part:
    """Postfix, by its queue."""
    late = queue.oldest_for(domain)
    is_late = late is not None and late > LATE_SECONDS
    text = queue.described(domain) if queue.messages else "answers, its queue is empty"
    return Part("postfix", text, is_well=not is_late)


def _ports(relay: Relay) -> dict[str, int]:
    if relay.record is not None:
        ports: dict[str, int] = relay.record["ports"]
        return ports
    return {
        "smtp": 25,
        "imaps": 993,
        "filtermail@outgoing": relay.config.filtermail_smtp_port,
        "filtermail@incoming": relay.config.filtermail_smtp_port_incoming,
    }


def _metrics(relay: Relay, name: str) -> Path | None:
    if relay.record is None:
        return METRICS[name]
    path = relay.record["metrics"].get(name)
    return Path(path) if path else None


def _metered(relay: Relay, name: str) -> Part:
    path = _metrics(relay, name)
    try:
        figures = ask(path) if path else []
    except Silent as silent:
        return Part(name, str(silent), is_well=False)
    for figure in figures:
        if figure.name in ALARMS and not isinstance(figure.value, Spread) and figure.value:
            return Part(name, f"answers, but {ALARMS[figure.name]}", False, figures)
    return Part(name, figures=figures)


def _filter(relay: Relay, name: str, port: int) -> Part:
    part = greeted(name, port, b"220 ")
    path = _metrics(relay, name)
    if part.is_well and path is not None and path.exists():
        return _metered(relay, name)
    return part


def _postfix(relay: Relay, port: int, now: float) -> Part:
    part = greeted("postfix", port, b"220")
    if not part.is_well:
        return part
    command = [*relay.postqueue, "-j"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        queue = read_queue(done.stdout.decode("utf-8", "replace"), now)
    except (OSError, subprocess.TimeoutExpired, UnreadableQueue):
        return Part("postfix", "answers, but postqueue does not list the queue", is_well=False)
    if done.returncode:
        return Part("postfix", "answers, but postqueue cannot read the queue", is_well=False)
    return queue_part(queue, relay.config.mail_domain)


def _certificate(config: Config) -> Part:
    found = inspect(config)
    if found.problems or found.pair is None:
        return Part("certificate", "; ".join(found.problems), is_well=False)
    return Part("certificate", f"valid until {found.pair.expires:%Y-%m-%d}")


def _with_hint(relay: Relay, part: Part) -> Part:
    if not part.is_well:
        if relay.record is not None:
            hint = f"see {relay.record['logs']}/{part.name}.log"
        else:
            hint = f"see systemctl status {part.name}"
        part.text = f"{part.text}; {hint}"
    return part


def _connection(port: int, *, tls: bool) -> socket.socket:
    connection = socket.create_connection((LOOPBACK, port), timeout=GREETING_SECONDS)
    if not tls:
        return connection
    # It is asked whether it answers, not who it is.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(connection)
    except OSError:
        connection.close()
        raise
