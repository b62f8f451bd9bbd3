"""A relay on a booted host, installed by scripts/install."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.clients import Imap, Smtp
from sandbox.login import Login, fresh_login
from tests.hosts.checkout import check_out, ensure_wheels, install
from tests.hosts.gateway import Gateway, serving
from tests.hosts.host import Host, booted
from tests.hosts.trees import Report, Tree

DOMAIN = "chat.example.org"
GATEWAY = "push.example.net"
PORTS = {"imaps": 993, "smtps": 465, "submission": 587, "smtp": 25}
SERVICES = (
    "doveauth.service",
    "filtermail@outgoing.service",
    "filtermail@incoming.service",
    "metadata.service",
)
EXPIRE = "postern-expire.service"
MAIL = f"/home/vmail/mail/{DOMAIN}"
CONFIG = "/etc/postern/chatmail.ini"
FILES = Path(__file__).parent / "files"
_TRUSTED = "/usr/local/share/ca-certificates/postern-test.crt"


@dataclass(slots=True)
class Relay:
    """A relay that runs, and clients for it."""

    host: Host
    gateway: Gateway
    report: Report
    _since: str = ""

    @property
    def address(self) -> str:
        """The address that clients connect to."""
        return self.host.network.there

    def login(self) -> Login:
        """An address that nobody has used yet."""
        return fresh_login(DOMAIN)

    def imap(self, login: Login) -> Imap:
        """A logged-in IMAP client, over TLS."""
        return Imap(PORTS, login, host=self.address)

    def smtp(self, login: Login) -> Smtp:
        """A logged-in submission client, over TLS."""
        return Smtp(PORTS, login, host=self.address)

    def mailbox(self, login: Login) -> Path:
        """The directory of a mailbox, as this machine reaches it."""
        return self.host.root / MAIL.lstrip("/") / login.address

    def forget_complaints(self) -> None:
        """Look only at what is logged from now on."""
        self._since = self.host.journal("--lines=0", "--show-cursor").rpartition("-- cursor: ")[2]

    def complaints(self) -> list[str]:
        """What a well relay does not log, since the start or `forget_complaints`.

        That is warnings and errors of ours, and units that ended by themselves.
        """
        after = [f"--after-cursor={self._since.strip()}"] if self._since else []
        units = [f"--unit={unit}" for unit in (*SERVICES, EXPIRE)]
        lines = self.host.journal(*after, *units, "--priority=warning", "--output=short-monotonic")
        everything = self.host.journal(*after, "--output=short-monotonic").splitlines()
        signs = ("Traceback (most recent call last)", "Scheduled restart job", "audit: SECCOMP")
        return lines.splitlines() + [
            line for line in everything if any(sign in line for sign in signs)
        ]


@contextmanager
def running_relay(tree: Tree, report: Report) -> Iterator[Relay]:
    """Boot a host from a release's tree and install a relay on it."""
    wheels = ensure_wheels(tree, report)
    with (
        tempfile.TemporaryDirectory(prefix="postern-") as directory,
        booted(tree, DOMAIN) as host,
    ):
        certificate, key = _certificate(Path(directory))
        with serving(host.network.here, certificate, key) as gateway:
            _install(host, wheels, gateway.url(GATEWAY), certificate, key)
            yield Relay(host, gateway, report)


def _install(host: Host, wheels: Path, gateway: str, certificate: Path, key: Path) -> None:
    host.write(
        "/etc/hosts",
        f"127.0.0.1 localhost\n{host.network.there} {DOMAIN}\n{host.network.here} {GATEWAY}\n",
    )
    host.write("/etc/postern/tls/fullchain.pem", certificate.read_text())
    host.write("/etc/postern/tls/privkey.pem", key.read_text(), mode=0o600)
    host.shell("install -d /var/lib/postern/acme")
    host.write(_TRUSTED, certificate.read_text())
    host.run("update-ca-certificates")
    text = (FILES / "chatmail.ini").read_text().format(domain=DOMAIN, gateway=gateway)
    host.write(CONFIG, text)
    check_out(host, wheels)
    install(host, DOMAIN)


def _certificate(directory: Path) -> tuple[Path, Path]:
    """Certificate and key of the relay and of the push gateway; the host is told to trust it."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    extensions = (
        f"subjectAltName=DNS:{DOMAIN},DNS:{GATEWAY}",
        "keyUsage=critical,digitalSignature,keyCertSign",
    )
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", f"/CN={DOMAIN}"]
    for extension in extensions:
        command += ["-addext", extension]
    command += ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
