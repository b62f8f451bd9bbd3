"""The files and directories of a sandbox."""

import grp
import os
import pwd
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from postern.host import dovecot
from postern.host.rendering import render
from postern.host.wiring import Wiring
from relay.config import Config, read_config
from relay.mailbox.directory import prepare_root
from relay.owner import Owner
from sandbox.certificate import ensure_certificate

MAILBOXES_USER = "mail"
"""A user that every Debian has and that nobody logs in as."""
POSTFIX_FILES = ("main.cf", "master.cf", "login_map")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is below one directory."""

    root: Path

    @property
    def config(self) -> Path:
        """The relay's configuration."""
        return self.root / "chatmail.ini"

    @property
    def postfix(self) -> Path:
        """Postfix' configuration directory."""
        return self.root / "postfix"

    @property
    def dovecot(self) -> Path:
        """Dovecot's configuration directory."""
        return self.root / "dovecot"

    @property
    def mail(self) -> Path:
        """The mailboxes."""
        return self.root / "mail"

    @property
    def state(self) -> Path:
        """The metadata service's state."""
        return self.root / "state"

    @property
    def logs(self) -> Path:
        """One log per daemon."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Sockets and process ids."""
        return self.root / "run"

    @property
    def sockets(self) -> Path:
        """The sockets of our daemons, which make them themselves."""
        return self.run / "postern"

    @property
    def reinject_sockets(self) -> Path:
        """Where Postfix takes mail back from filtermail: its directory of public sockets."""
        return self.root / "postfix-queue" / "public"

    def metrics_socket(self, daemon: str) -> Path:
        """Where one of them reports its figures."""
        return self.sockets / f"{daemon}-metrics.socket"


def write_files(layout: Layout, domain: str, ports: dict[str, int]) -> Config:
    """Make every directory and configuration file. Return the configuration they are made from."""
    _make_directories(layout)
    values = {
        "root": layout.root,
        "run_dir": layout.run,
        "log_dir": layout.logs,
        "mail_domain": domain,
        "mailboxes_user": MAILBOXES_USER,
        "ports": ports,
        "hostname": "localhost" if domain.startswith("[") else domain,
        "reinject_sockets": layout.reinject_sockets,
        "instance_name": f"postern-{os.getpid()}",
    }
    layout.config.write_text(render("chatmail.ini", values))
    config = read_config(layout.config)
    tls = ensure_certificate(layout.root / "tls", domain)
    values |= _wiring(layout, config, ports, tls).values()
    for name in POSTFIX_FILES:
        (layout.postfix / name).write_text(render(f"postfix/{name}", values))
    for name in (*dovecot.FILES[dovecot.installed()], dovecot.PUSH_NOTIFICATION):
        (layout.dovecot / Path(name).name).write_text(render(name, values))
    return config


def _make_directories(layout: Layout) -> None:
    for directory in (layout.postfix, layout.dovecot, layout.logs, layout.run / "dovecot"):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    # Dovecot's auth process is in the group of that user, and so passes through to the sockets.
    for directory in (layout.sockets, layout.mail, layout.state, layout.root / "doveauth"):
        directory.mkdir(mode=0o750, exist_ok=True)
        shutil.chown(directory, MAILBOXES_USER, MAILBOXES_USER)
    prepare_root(layout.mail, Owner.named(MAILBOXES_USER))
    queue, data = layout.root / "postfix-queue", layout.root / "postfix-data"
    queue.mkdir(mode=0o755, exist_ok=True)
    data.mkdir(mode=0o700, exist_ok=True)
    shutil.chown(data, "postfix", "postfix")
    # Stale sockets of a sandbox that was killed.
    for socket in layout.sockets.iterdir():
        socket.unlink()


def _wiring(
    layout: Layout, config: Config, ports: dict[str, int], tls: tuple[Path, Path]
) -> Wiring:
    owner = pwd.getpwnam(MAILBOXES_USER)
    sasl, lmtp = layout.run / "sasl", layout.run / "lmtp"
    return Wiring(
        config=config,
        mailboxes_uid=owner.pw_uid,
        mailboxes_group=grp.getgrgid(owner.pw_gid).gr_name,
        smtps_service=f"127.0.0.1:{ports['smtps']}",
        submission_service=f"127.0.0.1:{ports['submission']}",
        smtp_service=f"127.0.0.1:{ports['smtp']}",
        tls_cert=tls[0],
        tls_key=tls[1],
        postfix_dir=layout.postfix,
        dovecot_dir=layout.dovecot,
        sasl_socket=sasl,
        sasl_listener=sasl,
        lmtp_socket=lmtp,
        lmtp_listener=lmtp,
        lookups_socket=layout.sockets / "lookups.socket",
        last_login_socket=layout.sockets / "last-login.socket",
        metadata_socket=layout.sockets / "metadata.socket",
        notify_socket=layout.sockets / "notify.socket",
        expire_command=f"{sys.executable} -m postern expire --remove --config {layout.config}",
        # The interpreter may lie where only root may go; expiry gives root up by itself.
        expire_user="root",
    )
