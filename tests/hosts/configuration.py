"""The files of a relay's servers: what the documents give, and heads of our own.

Postfix' and Dovecot's files are written whole. Each is a head from `files/`, for what an operator
decides, and the blocks of docs/hookup.md or docs/dovecot-2.4.md, rendered from their templates.
This module is the only one here that knows where those come from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postern.host.wiring import SNIPPETS, Wiring, host_wiring
from relay.config import parse_config

FILES = Path(__file__).parent / "files"
LUA = {"doveauth.lua": 0o640, "dovecot-2.3/push_notification.lua": 0o644}
"""Scripts that both series of Dovecot run, and their modes."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written on a host."""

    path: str
    text: str
    mode: int = 0o644
    owner: str = "root:root"


def chatmail_ini(domain: str, gateway: str) -> str:
    """The configuration of Postern itself."""
    return (FILES / "chatmail.ini").read_text().format(domain=domain, gateway=gateway)


def server_files(config: str, series: str, mailboxes_uid: int) -> Iterator[File]:
    """Postfix' and Dovecot's files for a `chatmail.ini`, with Dovecot of this series."""
    parsed, _ = parse_config(config, "chatmail.ini")
    wiring = host_wiring(parsed, mailboxes_uid, parsed.mailboxes_user)
    yield from _postfix(wiring)
    yield from _dovecot(wiring, series)


def _postfix(wiring: Wiring) -> Iterator[File]:
    head = (FILES / "main.cf").read_text().format(domain=wiring.config.mail_domain)
    services = ("submission", "incoming", "reinject")
    blocks = [wiring.render(f"postfix/hookup-{name}.cf") for name in services]
    yield File("/etc/postfix/main.cf", head + wiring.render("postfix/hookup-main.cf"))
    yield File("/etc/postfix/login_map", wiring.render("postfix/login_map"))
    yield File("/etc/postfix/master.cf", "".join(blocks) + (FILES / "master.cf").read_text())


def _dovecot(wiring: Wiring, series: str) -> Iterator[File]:
    head = (FILES / f"dovecot-{series}.conf").read_text()
    blocks = [name for name in SNIPPETS if name.startswith(f"dovecot-{series}/hookup-")]
    text = head + "".join(wiring.render(name) for name in blocks)
    yield File("/etc/dovecot/dovecot.conf", text)
    for name, mode in LUA.items():
        path = f"/etc/dovecot/{name.rpartition('/')[2]}"
        yield File(path, wiring.render(name), mode=mode, owner="root:dovecot")
