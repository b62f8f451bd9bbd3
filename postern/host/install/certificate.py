"""The first certificate of a host, so that the servers can start."""

from dataclasses import replace

from postern.host.certificates import certbot
from postern.host.certificates.provision import THIS_HOST, ensure_first
from postern.host.certificates.wanted import ACME_WEBROOT, INSTALLED
from postern.host.install.changes import Changes
from postern.host.install.machine import Machine
from relay.config import CertificateFiles, Config


def ensure_certificate(machine: Machine, changes: Changes, config: Config) -> bool:
    """See that a usable certificate is installed; return whether one was put there."""
    for path in INSTALLED:
        changes.will_make(str(path))
    host = replace(
        THIS_HOST,
        installed=CertificateFiles(*(machine.at(str(path)) for path in INSTALLED)),
        webroot=machine.at(str(ACME_WEBROOT)),
        certbot_home=machine.at(str(certbot.HOME)),
    )
    return ensure_first(config, host).is_new
