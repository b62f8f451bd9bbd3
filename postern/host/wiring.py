"""How stock Postfix and Dovecot are wired to our daemons.

The lines for both are written once, in the `hookup` templates and four whole files. They are
rendered twice: for a host (`postern.host.files`; `docs/host/` shows the outcome), and with private
paths for the sandbox.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from postern.host.certificates.wanted import ACME_WEBROOT, INSTALLED, Kind, kind
from postern.host.dkim.directory import DIRECTORY, SOCKET
from postern.host.dns.records import has_no_dns
from postern.host.rendering import render
from relay.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """nginx, which has ports 80 and 443; what it passes on goes to loopback ports."""

    imaps_port: int = 10993
    smtps_port: int = 10465
    https_port: int = 10443
    acme_webroot: Path = ACME_WEBROOT
    pages: Path = Path("/var/lib/postern/www")
    has_public_certificate: bool
    """Whether other servers can verify it: it is not self-signed for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """The values of the templates: the configuration, and the paths of one place.

    A service is named as in master.cf(5).
    """

    config: Config
    mailboxes_uid: int
    mailboxes_group: str
    smtps_service: str
    submission_service: str
    smtp_service: str
    tls_cert: Path
    tls_key: Path
    postfix_dir: Path
    dovecot_dir: Path
    sasl_socket: Path
    """As Postfix names it: absolute, or below its queue directory."""
    sasl_listener: Path
    """The same socket as Dovecot names it."""
    lmtp_socket: Path
    lmtp_listener: Path
    lookups_socket: Path
    """Where Dovecot's Lua asks for logins and users."""
    last_login_socket: Path
    metadata_socket: Path
    notify_socket: Path
    """Where Dovecot's Lua reports deliveries; no IMAP process asks there."""
    expire_command: str
    """What trims a mailbox that is nearly full; Dovecot's quota warning names the mailbox."""
    expire_user: str
    dkim_dir: Path = DIRECTORY
    """The signer's keys and tables."""
    dkim_socket: Path | None = None
    """Where the signer of outgoing mail listens; None: there is no signer."""
    web: Web | None = None
    """None: no nginx, as in a sandbox."""

    def values(self) -> dict[str, Any]:
        """All by name, the keys of the configuration as in chatmail.ini."""
        paths = {each.name: getattr(self, each.name) for each in fields(self)}
        return asdict(self.config) | paths

    def render(self, template: str) -> str:
        """The text of one template."""
        return render(template, self.values())


def host_wiring(config: Config, mailboxes_uid: int, mailboxes_group: str) -> Wiring:
    """The wiring of a Debian host whose daemons run from our systemd units."""
    queue = Path("/var/spool/postfix")
    sasl, lmtp = Path("private/auth"), Path("private/dovecot-lmtp")
    return Wiring(
        config=config,
        mailboxes_uid=mailboxes_uid,
        mailboxes_group=mailboxes_group,
        smtps_service="smtps",
        submission_service="submission",
        smtp_service="smtp",
        tls_cert=INSTALLED.certificate,
        tls_key=INSTALLED.key,
        postfix_dir=Path("/etc/postfix"),
        dovecot_dir=Path("/etc/dovecot"),
        sasl_socket=sasl,
        sasl_listener=queue / sasl,
        lmtp_socket=lmtp,
        lmtp_listener=queue / lmtp,
        lookups_socket=Path("/run/doveauth/lookups.socket"),
        last_login_socket=Path("/run/doveauth/last-login.socket"),
        metadata_socket=Path("/run/metadata/metadata.socket"),
        notify_socket=Path("/run/metadata/notify.socket"),
        expire_command="/opt/postern/venv/bin/python -m postern expire --remove "
        "--config /etc/postern/chatmail.ini",
        expire_user=config.mailboxes_user,
        dkim_socket=None if has_no_dns(config.mail_domain) else SOCKET,
        web=Web(has_public_certificate=kind(config) is not Kind.SELF_SIGNED),
    )
