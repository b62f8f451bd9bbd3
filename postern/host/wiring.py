"""How stock Postfix and Dovecot are wired to our daemons.

The lines for both are written once, as the `hookup-*` templates and three whole files. They are
rendered twice: with the paths of a host for `docs/hookup.md`, with private ones for the sandbox.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from postern.host.rendering import render
from relay.config import Config

SNIPPETS = (
    "postfix/hookup-main.cf",
    "postfix/login_map",
    "postfix/hookup-submission.cf",
    "postfix/hookup-incoming.cf",
    "postfix/hookup-reinject.cf",
    "postfix/hookup-content-filter.cf",
    "dovecot-2.3/hookup-connections.conf",
    "dovecot-2.3/hookup-auth.conf",
    "dovecot-2.3/doveauth.dict.conf",
    "dovecot-2.3/hookup-mail.conf",
    "dovecot-2.3/hookup-metadata.conf",
    "dovecot-2.3/hookup-last-login.conf",
    "dovecot-2.3/hookup-push.conf",
    "dovecot-2.3/push_notification.lua",
    "dovecot-2.3/hookup-lmtp.conf",
    "dovecot-2.3/hookup-hibernate.conf",
    "dovecot-2.4/hookup-connections.conf",
    "dovecot-2.4/hookup-auth.conf",
    "dovecot-2.4/doveauth.lua",
    "dovecot-2.4/hookup-mail.conf",
    "dovecot-2.4/hookup-metadata.conf",
    "dovecot-2.4/hookup-last-login.conf",
    "dovecot-2.4/hookup-push.conf",
    "dovecot-2.4/hookup-lmtp.conf",
    "dovecot-2.4/hookup-hibernate.conf",
)
"""What an operator adds by hand, and what the sandbox's configuration is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """The values of the snippets. Sizes are in bytes; a service is named as in master.cf(5)."""

    mail_domain: str
    mailboxes_uid: int
    mailboxes_user: str
    mailboxes_group: str
    max_message_size: int
    max_mailbox_size: int
    max_imap_connections: int
    max_smtp_connections: int
    max_smtp_recipients: int
    filtermail_smtp_port: int
    filtermail_smtp_port_incoming: int
    postfix_reinject_port: int
    postfix_reinject_port_incoming: int
    smtps_service: str
    submission_service: str
    smtp_service: str
    postfix_dir: Path
    dovecot_dir: Path
    sasl_socket: Path
    """As Postfix names it: absolute, or below its queue directory."""
    sasl_listener: Path
    """The same socket as Dovecot names it."""
    lmtp_socket: Path
    lmtp_listener: Path
    auth_socket: Path
    """Where Dovecot 2.3 asks for logins; 2.4 asks at `lookups_socket`."""
    lookups_socket: Path
    last_login_socket: Path
    metadata_socket: Path
    expire_command: str
    """What removes mail from a mailbox that is nearly full; a word for the mailbox is added."""
    expire_user: str

    def render(self, snippet: str) -> str:
        """The text of one snippet."""
        return render(snippet, asdict(self))


def host_wiring(config: Config, mailboxes_uid: int, mailboxes_group: str) -> Wiring:
    """The wiring of a Debian host whose daemons run from our systemd units."""
    queue = Path("/var/spool/postfix")
    sasl, lmtp = Path("private/auth"), Path("private/dovecot-lmtp")
    return Wiring(
        mail_domain=config.mail_domain,
        mailboxes_uid=mailboxes_uid,
        mailboxes_user=config.mailboxes_user,
        mailboxes_group=mailboxes_group,
        max_message_size=config.max_message_size,
        max_mailbox_size=config.max_mailbox_size,
        max_imap_connections=config.max_imap_connections,
        max_smtp_connections=config.max_smtp_connections,
        max_smtp_recipients=config.max_smtp_recipients,
        filtermail_smtp_port=config.filtermail_smtp_port,
        filtermail_smtp_port_incoming=config.filtermail_smtp_port_incoming,
        postfix_reinject_port=config.postfix_reinject_port,
        postfix_reinject_port_incoming=config.postfix_reinject_port_incoming,
        smtps_service="smtps",
        submission_service="submission",
        smtp_service="smtp",
        postfix_dir=Path("/etc/postfix"),
        dovecot_dir=Path("/etc/dovecot"),
        sasl_socket=sasl,
        sasl_listener=queue / sasl,
        lmtp_socket=lmtp,
        lmtp_listener=queue / lmtp,
        auth_socket=Path("/run/doveauth/auth.socket"),
        lookups_socket=Path("/run/doveauth/lookups.socket"),
        last_login_socket=Path("/run/doveauth/last-login.socket"),
        metadata_socket=Path("/run/metadata/metadata.socket"),
        expire_command="/opt/postern/venv/bin/python -m postern expire --remove "
        "--config /etc/postern/chatmail.ini",
        expire_user=config.mailboxes_user,
    )
