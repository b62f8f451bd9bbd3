"""The files of a relay's servers, as docs/host shows them, for a domain of a test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postern.host.files import HOST_FILES
from postern.host.wiring import host_wiring
from relay.config import parse_config

FILES = Path(__file__).parent / "files"


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
    for file in HOST_FILES:
        if not file.path.startswith("/etc/sysctl.d/"):  # a container has its host's kernel
            text = wiring.render(file.template.format(series=series))
            yield File(file.path, text, mode=file.mode, owner=f"root:{file.group}")
