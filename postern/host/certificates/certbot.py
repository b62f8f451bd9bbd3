"""Certificates from an ACME server, by Debian's certbot.

The first order is ours; certbot keeps how it was made, and its own timer renews.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from postern.host.certificates.wanted import ACME_WEBROOT
from relay.config import CertificateFiles, Config

HOME = Path("/etc/letsencrypt")
DEPLOY_HOOK = "/opt/postern/venv/bin/postern certificates deploy"
"""What certbot runs after each renewal."""
MINUTES = 5
"""An order takes seconds; a validation may be slow."""
_FAILURE = re.compile(r"^ *Domain: (.+)\n *Type: +(.+)\n *Detail: (.+)$", re.MULTILINE)
_MENDS = {
    "dns": "Is there an A or AAAA record for it, and is it this host's?",
    "connection": "Port 80 of this host must be open to the Internet, by IPv6 too if there is an "
    "AAAA record.",
    "unauthorized": "Does its A or AAAA record lead to this host? Another web server seems to "
    "answer for it.",
    "caa": "Its CAA record forbids this certificate authority.",
    "rateLimited": "Wait before the next attempt.",
}
"""By the last part of the error's type (RFC 8555, 6.7)."""
_LINES_OF_OUTPUT = 5


class NoCertificate(Exception):
    """certbot got none; each argument is one reason in words."""

    args: tuple[str, ...]


def live(config: Config, home: Path = HOME) -> CertificateFiles:
    """Where certbot keeps the domain's newest certificate and key."""
    directory = home / "live" / config.mail_domain
    return CertificateFiles(directory / "fullchain.pem", directory / "privkey.pem")


def order(config: Config, names: Sequence[str], *, renew: bool = False) -> list[str]:
    """The command that asks for a certificate with these names; `renew`: even if it has one."""
    command = ["certbot", "certonly", "--non-interactive", "--agree-tos"]
    command += ["--server", config.acme_directory]
    if config.acme_email:
        command += ["--email", config.acme_email]
    else:
        command += ["--register-unsafely-without-email"]
    command += ["--webroot", "--webroot-path", str(ACME_WEBROOT), "--key-type", "ecdsa"]
    command += ["--deploy-hook", DEPLOY_HOOK, "--cert-name", config.mail_domain]
    command += ["--force-renewal" if renew else "--keep-until-expiring"]
    command += ["--renew-with-new-domains"]
    for name in names:
        command += ["--domain", name]
    return command


def run(command: Sequence[str]) -> None:
    """Run certbot; raises NoCertificate."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=MINUTES * 60
        )
    except FileNotFoundError:
        raise NoCertificate("certbot is not installed: apt install certbot") from None
    except subprocess.TimeoutExpired:
        raise NoCertificate(f"certbot did not end within {MINUTES} minutes") from None
    if done.returncode != 0:
        raise NoCertificate(*reasons(done.stdout + done.stderr))


def reasons(output: str) -> list[str]:
    """Why certbot failed, by its output: one line for each name, or the end of what it said."""
    failures = _FAILURE.findall(output)
    if not failures:
        said = [line.strip() for line in output.splitlines() if line.strip()]
        return ["certbot says: " + " / ".join(said[-_LINES_OF_OUTPUT:])]
    return [_reason(name, kind, detail) for name, kind, detail in failures]


def _reason(name: str, kind: str, detail: str) -> str:
    mend = _MENDS.get(kind.rpartition(":")[2], "")
    return f"{name} could not be validated ({kind}): {detail} {mend}".rstrip()


def server_of(config: Config, home: Path = HOME) -> str | None:
    """The ACME directory that the domain's certificate came from, as certbot keeps it."""
    try:
        text = (home / "renewal" / f"{config.mail_domain}.conf").read_text()
    except OSError:
        return None
    found = re.search(r"^server = (\S+)$", text, re.MULTILINE)
    return found[1] if found else None


def account_uri(config: Config, home: Path = HOME) -> str | None:
    """The URI of this host's account at the ACME server, for a CAA record (RFC 8657, 3)."""
    parts = urlsplit(config.acme_directory)
    accounts = home / "accounts" / parts.netloc / parts.path.lstrip("/")
    for path in sorted(accounts.glob("*/regr.json")):
        uri = json.loads(path.read_text()).get("uri")
        if isinstance(uri, str):
            return uri
    return None
