"""Postfix and OpenDKIM as a host has them, in a private directory, and a server that mail ends at.

Neither Dovecot nor filtermail is here: messages go straight into the services that filtermail would
hand them to.
"""

import asyncio
import contextlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dkim
from aiosmtpd.controller import Controller

from postern.host.dkim.directory import KeyDirectory
from postern.host.wiring import Wiring, host_wiring
from relay.config import parse_config
from relay.owner import Owner
from sandbox.ports import LOOPBACK, choose_ports
from tests.e2e.tools import SocketSmtp
from tests.support import DEADLINE, poll

DOMAIN = "chat.example.org"
MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/log/mail.log
maillog_file_prefixes = {root}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = {domain}
myorigin = {domain}
default_transport = smtp:[127.0.0.1]:{sink}
"""


class Sink:
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd names its methods by the commands
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        await asyncio.sleep(0)
        self.messages.append(envelope.content)
        return "250 OK"


class Relay:
    """The part of a relay that sends out."""

    def __init__(self, root: Path, sink: Sink, keys: KeyDirectory) -> None:
        self.root, self.sink, self.keys = root, sink, keys
        self.signer: subprocess.Popen[bytes] | None = None

    def send(self, service: str, sender: str, recipient: str, message: bytes) -> None:
        """Hand a message to one of the two reinject services."""
        with SocketSmtp(self.root / "queue" / "public" / service) as smtp:
            smtp.ehlo(DOMAIN)
            steps: tuple[tuple[Callable[[Any], tuple[int, bytes]], str | bytes], ...] = (
                (smtp.mail, sender),
                (smtp.rcpt, recipient),
                (smtp.data, message),
            )
            for step, argument in steps:
                code, text = step(argument)
                assert code == 250, (code, text)

    def arrived(self, count: int) -> bytes:
        """The last of so many messages that have left."""
        poll(lambda: len(self.sink.messages) >= count, f"message {count}: {self.log()}")
        return self.sink.messages[count - 1]

    def log(self) -> str:
        """What Postfix has logged."""
        path = self.root / "log" / "mail.log"
        return path.read_text() if path.exists() else ""

    def start_signer(self) -> None:
        """Start OpenDKIM, and return when it answers."""
        config, log = self.root / "opendkim.conf", self.root / "log" / "signer.log"
        with log.open("ab") as stream:
            self.signer = subprocess.Popen(
                ["opendkim", "-f", "-x", str(config)], stdout=stream, stderr=stream
            )
        poll((self.root / "run" / "signer.sock").is_socket, f"the signer: {log.read_text()}")

    def stop_signer(self) -> None:
        """End OpenDKIM."""
        if self.signer is not None:
            self.signer.terminate()
            self.signer.wait(DEADLINE)
            (self.root / "run" / "signer.sock").unlink(missing_ok=True)

    def reload_signer(self) -> None:
        """What `systemctl reload opendkim` does; gives it time, because it says nothing."""
        assert self.signer is not None
        self.signer.send_signal(signal.SIGUSR1)
        time.sleep(0.3)


def selectors_that_verify(message: bytes, keys: KeyDirectory) -> list[str]:
    """The selectors of the signatures that are valid by the records that we would publish."""
    records = {
        f"{each.selector}._domainkey.{DOMAIN}.": each.text.encode()
        for each in keys.published(int(time.time()))
    }
    count = message.count(b"\nDKIM-Signature:") + message.startswith(b"DKIM-Signature:")
    return [name for at in range(count) if (name := _valid(message, at, records))]


def _valid(message: bytes, at: int, records: dict[str, bytes]) -> str:
    """The selector of one signature; empty where it is not valid."""
    checked = dkim.DKIM(message)
    with contextlib.suppress(dkim.DKIMException):
        if checked.verify(at, dnsfunc=lambda name, timeout=5: records.get(name.decode())):
            return str(checked.signature_fields[b"s"].decode())
    return ""


@contextlib.contextmanager
def running() -> Iterator[Relay]:
    """Run both programs from the files that a host gets, with private paths."""
    # OpenDKIM refuses keys below a directory that anybody can write to, such as /tmp.
    directory = Path(tempfile.mkdtemp(prefix="postern-dkim-", dir="/run"))
    sink = Sink()
    (port,) = choose_ports(None, {"sink": 0}).values()
    controller = Controller(sink, hostname=LOOPBACK, port=port)
    relay = Relay(
        directory, sink, KeyDirectory(directory / "dkim", DOMAIN, Owner.named("opendkim"))
    )
    try:
        _write(relay, port)
        controller.start()
        relay.start_signer()
        postfix = ["postfix", "-c", str(directory / "postfix")]
        subprocess.run([*postfix, "start"], check=True, capture_output=True)
        yield relay
    finally:
        subprocess.run(
            ["postfix", "-c", str(directory / "postfix"), "stop"], check=False, capture_output=True
        )
        relay.stop_signer()
        controller.stop()
        shutil.rmtree(directory)


def _write(relay: Relay, port: int) -> None:
    root = relay.root
    root.chmod(0o755)
    for name in ("postfix", "queue", "data", "run", "log"):
        (root / name).mkdir()
    shutil.chown(root / "data", "postfix")
    shutil.chown(root / "run", "opendkim")
    relay.keys.ensure(int(time.time()))
    wiring = _wiring(root)
    (root / "dkim" / "SigningTable").write_text(wiring.render("opendkim/SigningTable"))
    config = wiring.render("opendkim/opendkim.conf")
    # A test does not put Postfix' user into the signer's group.
    config = config.replace("UMask 007", "UMask 000").replace("/run/opendkim/", f"{root}/run/")
    (root / "opendkim.conf").write_text(config)
    main = MAIN.format(root=root, domain=DOMAIN, sink=port)
    # In place of Dovecot: everybody here has just been deleted.
    main += wiring.render("postfix/hookup-main.cf").replace(
        "local_transport = lmtp:unix:private/dovecot-lmtp",
        "local_transport = error:5.1.1 there is no such user",
    )
    (root / "postfix" / "main.cf").write_text(main)
    (root / "postfix" / "master.cf").write_text(wiring.render("postfix/master.cf"))
    (root / "postfix" / "login_map").touch()


def _wiring(root: Path) -> Wiring:
    text = f"[params]\nmail_domain = {DOMAIN}\npostfix_reinject_sockets = {root}/queue/public\n"
    config, _ = parse_config(text, "here")
    names = ("smtps_service", "submission_service", "smtp_service")
    free = choose_ports(None, dict.fromkeys(names, 0))
    services = {name: f"{LOOPBACK}:{free[name]}" for name in names}
    return replace(
        host_wiring(config, pwd.getpwnam("nobody").pw_uid, "nogroup"),
        postfix_dir=root / "postfix",
        dkim_dir=root / "dkim",
        dkim_socket=root / "run" / "signer.sock",
        **services,  # type: ignore[arg-type]  # three names of services
    )
