"""The files of a host that Postern writes: where each goes, whose it is, what reads it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFile:
    """A file that is rendered from a template."""

    path: str
    template: str
    """`{series}` in it is Dovecot's, 2.3 or 2.4."""
    mode: int = 0o644
    group: str = "root"
    """All belong to root; a secret can be read by this group."""
    unit: str = ""
    """The systemd unit that reads it, which has to be reloaded after a change."""


HOST_FILES = (
    HostFile(path="/etc/postfix/main.cf", template="postfix/host-main.cf", unit="postfix.service"),
    HostFile(path="/etc/postfix/master.cf", template="postfix/master.cf", unit="postfix.service"),
    HostFile(path="/etc/postfix/login_map", template="postfix/login_map", unit="postfix.service"),
    HostFile(
        path="/etc/dovecot/dovecot.conf",
        template="dovecot-{series}/host.conf",
        unit="dovecot.service",
    ),
    HostFile(
        path="/etc/dovecot/doveauth.lua",
        template="doveauth.lua",
        mode=0o640,
        group="dovecot",
        unit="dovecot.service",
    ),
    HostFile(
        path="/etc/dovecot/push_notification.lua",
        template="push_notification.lua",
        unit="dovecot.service",
    ),
    HostFile(path="/etc/opendkim.conf", template="opendkim/opendkim.conf", unit="opendkim.service"),
    HostFile(
        path="/etc/postern/dkim/SigningTable",
        template="opendkim/SigningTable",
        unit="opendkim.service",
    ),
    HostFile(path="/etc/sysctl.d/60-postern.conf", template="host/sysctl.conf"),
    HostFile(path="/etc/apt/apt.conf.d/60postern", template="host/apt.conf"),
    HostFile(
        path="/etc/systemd/system/dovecot.socket.d/postern.conf",
        template="host/dovecot.socket.conf",
        unit="dovecot.socket",
    ),
    HostFile(path="/etc/systemd/journald@mail.conf", template="host/journald-mail.conf"),
    # Postfix' processes belong to the one on Debian 12, to the other on 13.
    HostFile(
        path="/etc/systemd/system/postfix@.service.d/postern.conf", template="host/quiet.conf"
    ),
    HostFile(path="/etc/systemd/system/postfix.service.d/postern.conf", template="host/quiet.conf"),
    HostFile(
        path="/etc/systemd/system/dovecot.service.d/postern.conf", template="host/namespace.conf"
    ),
    HostFile(
        path="/etc/systemd/system/opendkim.service.d/postern.conf", template="host/namespace.conf"
    ),
    HostFile(path="/etc/nginx/nginx.conf", template="nginx/nginx.conf", unit="nginx.service"),
    HostFile(
        path="/etc/systemd/system/nginx.service.d/postern.conf",
        template="nginx/nginx.service.conf",
    ),
    HostFile(path="/var/lib/postern/www/index.html", template="web/index.html"),
)
