"""The first certificate of a host, its own signature on it, until there is a better one."""

import ipaddress

from postern.host.install.changes import Changes
from postern.host.install.machine import Machine
from relay.config import Config

CERTIFICATE = "/etc/postern/tls/fullchain.pem"
KEY = "/etc/postern/tls/privkey.pem"
_DAYS = 3650


def ensure_certificate(machine: Machine, changes: Changes, config: Config) -> bool:
    """Make a self-signed certificate where none is; return whether one was made."""
    if machine.at(CERTIFICATE).exists():
        return False
    changes.will_make(CERTIFICATE)
    changes.will_make(KEY)
    name = config.mail_domain.strip("[]").removeprefix("IPv6:")
    machine.run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", str(_DAYS), "-subj", f"/CN={name}"),
        *("-addext", f"subjectAltName={_kind(name)}:{name}"),
        *("-out", str(machine.at(CERTIFICATE)), "-keyout", str(machine.at(KEY))),
    )
    machine.at(KEY).chmod(0o600)
    return True


def _kind(name: str) -> str:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"
