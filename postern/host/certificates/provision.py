"""Puts the certificate where Postfix, Dovecot and nginx read it, and sees that there is one.

The installer calls `ensure_first`, and `obtain` once nginx runs. `deploy` is what certbot's hook
runs after a renewal, `obtain` what the timer `postern-certificates` runs every hour: it asks the
ACME server again where an order failed, and notices an external certificate that has changed.
"""

import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from postern.host.certificates import certbot, selfsigned
from postern.host.certificates.pair import Pair, Unusable, read
from postern.host.certificates.wanted import (
    ACME_WEBROOT,
    INSTALLED,
    Addresses,
    Kind,
    certified_name,
    covers,
    kind,
    names_to_ask_for,
)
from relay.config import CertificateFiles, Config

SERVERS = ("dovecot.service", "postfix.service", "nginx.service")
"""What reads the certificate, and has to be reloaded after a change."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    is_new: bool
    """Whether the servers were given another certificate."""
    problems: tuple[str, ...] = ()
    """Why the certificate is not the one that is wanted, in words; none if it is."""


def addresses_of(name: str) -> set[str]:
    """The addresses that this host's resolver has for a name; none where it has no answer."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(entry[4][0]) for entry in found}


def reload_servers() -> list[str]:
    """Reload those servers that run; return what went wrong, in words."""
    problems = []
    for unit in SERVERS:
        if subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode:
            continue
        done = subprocess.run(
            ["systemctl", "reload", unit], capture_output=True, text=True, check=False
        )
        if done.returncode:
            problems.append(f"{unit} could not be reloaded: {done.stderr.strip()}")
    return problems


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What is done to the host; tests give other places and programs."""

    installed: CertificateFiles = INSTALLED
    webroot: Path = ACME_WEBROOT
    certbot_home: Path = certbot.HOME
    run_certbot: Callable[[Sequence[str]], None] = certbot.run
    addresses: Addresses = addresses_of
    reload: Callable[[], list[str]] = reload_servers
    now: Callable[[], datetime] = utc_now


THIS_HOST = Host()


def ensure_first(config: Config, host: Host = THIS_HOST) -> Outcome:
    """See that a certificate is installed, so that the servers can start.

    A usable one stays. Else it is the newest that is on this host, or a self-signed one. Also makes
    the directory for ACME challenges. Reloads nothing.
    """
    host.webroot.mkdir(mode=0o755, parents=True, exist_ok=True)
    if _usable(host.installed) is not None:
        return Outcome(is_new=False)
    newest, problems = _newest(config, host)
    _install(host, newest or _self_signed(config, host))
    return Outcome(is_new=True, problems=problems)


def deploy(config: Config, host: Host = THIS_HOST) -> Outcome:
    """Install the newest certificate that is on this host, and reload the servers if it is new.

    Where there is none at all, it is a self-signed one.
    """
    installed = _usable(host.installed)
    newest, problems = _newest(config, host)
    pair = newest or installed or _self_signed(config, host)
    if installed is not None and (installed.chain, installed.key) == (pair.chain, pair.key):
        return Outcome(is_new=False, problems=problems)
    _install(host, pair)
    return Outcome(is_new=True, problems=(*problems, *host.reload()))


def obtain(config: Config, host: Host = THIS_HOST, *, force: bool = False) -> Outcome:
    """Get the certificate that is wanted, if it is not there, and install it.

    An ACME server is asked where it has given none yet, where names are missing in that, where it
    should have been renewed by now, and with `force`. Takes seconds then, minutes at most.
    """
    before = _usable(host.installed)
    refusals: tuple[str, ...] = ()
    if kind(config) is Kind.ACME:
        names = names_to_ask_for(config.mail_domain, host.addresses)
        if force or _is_order_due(config, names, host):
            try:
                host.run_certbot(certbot.order(config, names, renew=force))
            except certbot.NoCertificate as failed:
                refusals = failed.args
    elif force and kind(config) is Kind.SELF_SIGNED:
        _install(host, _self_signed(config, host))
        return Outcome(is_new=True, problems=tuple(host.reload()))
    outcome = deploy(config, host)
    # After an order, certbot's hook has deployed already.
    return Outcome(_usable(host.installed) != before, refusals + outcome.problems)


def _newest(config: Config, host: Host) -> tuple[Pair | None, tuple[str, ...]]:
    """The newest pair from where the configuration says, or why there is none."""
    if kind(config) is Kind.SELF_SIGNED:
        return _good_self_signed(config, host), ()
    files = config.tls_external_cert_and_key or certbot.live(config, host.certbot_home)
    if kind(config) is Kind.ACME and not files.certificate.exists():
        return None, ()
    try:
        return read(files), ()
    except Unusable as unusable:
        return None, (str(unusable),)


def _good_self_signed(config: Config, host: Host) -> Pair:
    """The pair that is installed if it is still good, or a new one."""
    pair, name = _usable(host.installed), certified_name(config.mail_domain)
    if pair is not None and covers(pair.names, name) and not pair.is_late(host.now()):
        return pair
    return _self_signed(config, host)


def _self_signed(config: Config, host: Host) -> Pair:
    return selfsigned.make(certified_name(config.mail_domain), host.now())


def _usable(files: CertificateFiles) -> Pair | None:
    try:
        return read(files)
    except Unusable:
        return None


def _is_order_due(config: Config, names: Sequence[str], host: Host) -> bool:
    pair = _usable(certbot.live(config, host.certbot_home))
    if pair is None or pair.is_late(host.now()):
        return True
    is_from_another = certbot.server_of(config, host.certbot_home) != config.acme_directory
    return is_from_another or not all(covers(pair.names, name) for name in names)


def _install(host: Host, pair: Pair) -> None:
    """Replace both files, each by a rename, one right after the other.

    After a crash between the two they do not belong together, until the next `deploy` sees it.
    """
    files = host.installed
    files.certificate.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    staged = [
        (_staged(files.key, pair.key, mode=0o600), files.key),
        (_staged(files.certificate, pair.chain, mode=0o644), files.certificate),
    ]
    for draft, path in staged:
        draft.rename(path)


def _staged(path: Path, content: bytes, *, mode: int) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft
