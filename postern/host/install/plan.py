"""What a host should be: pure, from the configuration and a few facts."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from postern.host.certificates.wanted import ACME_WEBROOT
from postern.host.dkim.directory import SIGNER
from postern.host.files import HOST_FILES
from postern.host.install.local import LOCAL, with_local_lines
from postern.host.units import rendered_unit, unit_files
from postern.host.wiring import Wiring, host_wiring
from relay.config import Config

VERSIONS = "/opt/postern/versions"
CURRENT = "/opt/postern/venv"
"""The link to the virtual environment of the version that runs; all units name it."""
COMMAND = "/usr/local/bin/postern"
CONFIG = "/etc/postern/chatmail.ini"
DOVECOT_SERIES = {"12": "2.3", "13": "2.4"}
"""By Debian's release."""
PACKAGES = (
    "ca-certificates",
    "openssl",
    "postfix",
    "dovecot-core",
    "dovecot-imapd",
    "dovecot-lmtpd",
    "dovecot-auth-lua",
    "lua-socket",
    "nginx",
    "libnginx-mod-stream",
    "certbot",
    "unattended-upgrades",
    SIGNER,
)
NO_INHIBITOR = "/etc/systemd/system/unattended-upgrades.service"
"""Masked: it waits for shutdowns only, with 12 MB of memory. Timers do the upgrades."""
DAEMONS = ("doveauth", "metadata", "filtermail@outgoing", "filtermail@incoming")
"""Our services, without the suffix."""
SERVICES = (
    *(f"{name}.service" for name in DAEMONS),
    "postern-expire.timer",
    "postern-certificates.timer",
)
SERVERS = (
    f"{SIGNER}.service",
    "postfix.service",
    "dovecot.socket",
    "dovecot.service",
    "nginx.service",
)
"""Debian's, in the order of their start: Postfix makes a directory that Dovecot needs."""
_SIGNS = {SIGNER, f"{SIGNER}.service"}
"""What only a relay with a domain needs."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it should be."""

    path: str
    text: str
    mode: int = 0o644
    group: str = "root"
    unit: str = ""
    """What has to hear of a change."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that should be there."""

    path: str
    mode: int = 0o755
    user: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A host as it should be."""

    config: Config
    packages: tuple[str, ...]
    mailboxes_uid: int
    directories: tuple[Directory, ...]
    files: tuple[File, ...]
    venv: str
    """What `CURRENT` points to."""
    links: dict[str, str]
    """Symbolic links and what they point to, `CURRENT` among them."""
    sockets: dict[str, str]
    """Those that systemd holds for our services, each with its service."""
    services: tuple[str, ...]
    servers: tuple[str, ...]


def planned(
    config: Config,
    *,
    release: str,
    mailboxes_uid: int,
    venv: str,
    units: Path,
    local: Callable[[str], str],
) -> Plan:
    """The plan for a host.

    `units` is the directory `systemd/` of the version's source; `local` gives the text of an
    operator's drop-in in `LOCAL` by its name, empty where there is none.
    """
    user = config.mailboxes_user
    wiring = host_wiring(config, mailboxes_uid, user)
    unit_texts = tuple(_units(units, config))
    directories = [
        Directory("/etc/postern"),
        Directory(LOCAL),
        Directory("/etc/postern/tls"),
        Directory(str(ACME_WEBROOT)),
        *_down_to(config.mailboxes_dir.parent, user),
        Directory(str(config.mailboxes_dir), 0o700, user, user),
    ]
    return Plan(
        config=config,
        packages=_needed(wiring, PACKAGES),
        mailboxes_uid=mailboxes_uid,
        directories=tuple(directories),
        files=(*_server_files(wiring, release, local), *unit_texts),
        venv=venv,
        links={CURRENT: venv, COMMAND: f"{CURRENT}/bin/postern", NO_INHIBITOR: "/dev/null"},
        sockets={
            Path(file.path).name: _service_of(Path(file.path).name, file.text)
            for file in unit_texts
            if file.path.endswith(".socket")
        },
        services=SERVICES,
        servers=_needed(wiring, SERVERS),
    )


def _down_to(path: Path, user: str) -> Iterable[Directory]:
    """The directories above the mailboxes: the last two of them are the mailboxes' user's."""
    own = [path.parent, path] if str(path).startswith("/home/") else [path]
    return [Directory(str(each), 0o700, user, user) for each in own if each != Path("/home")]


def _needed(wiring: Wiring, names: tuple[str, ...]) -> tuple[str, ...]:
    """Without the signer where nothing is signed."""
    return names if wiring.dkim_socket else tuple(name for name in names if name not in _SIGNS)


def _server_files(wiring: Wiring, release: str, local: Callable[[str], str]) -> Iterable[File]:
    for each in HOST_FILES:
        if each.unit in _SIGNS and not wiring.dkim_socket:
            continue
        text = wiring.render(each.template.format(series=DOVECOT_SERIES[release]))
        name = Path(each.path).name
        text = with_local_lines(name, text, local(name))
        yield File(each.path, text, each.mode, each.group, each.unit)


def _units(directory: Path, config: Config) -> Iterable[File]:
    for name in unit_files(directory):
        text = rendered_unit((directory / name).read_text(encoding="utf-8"), config)
        yield File(f"/etc/systemd/system/{name}", text, unit=_read_by(name))


def _service_of(socket: str, text: str) -> str:
    """The service that a socket's unit is for (systemd.socket(5), `Service=`)."""
    named = re.search(r"^Service=(.+)$", text, re.MULTILINE)
    return named[1] if named else socket.replace(".socket", ".service")


def _read_by(name: str) -> str:
    """The unit that a unit's file belongs to: a drop-in's is the unit that its directory names."""
    return re.sub(r"\.d/.*", "", name)
