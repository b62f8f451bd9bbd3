"""Facts of the host itself, read below a root directory that a test can choose."""

import contextlib
import ipaddress
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from postern.host.preflight.facts import Disk, Listener, System

DISKS = ("/", "/var", "/home")
OURS_IN_POSTFIX = "# Postfix of a relay"
"""How the template of main.cf begins (postfix/host-main.cf)."""
_LISTENING = "0A"
"""A socket's state in /proc/net/tcp (proc(5))."""
_SYSTEMS = {
    "exim": ("usr/sbin/exim4", "usr/sbin/exim"),
    "sendmail": ("etc/mail/sendmail.cf", "usr/lib/sm.bin/sendmail"),
    "Mail-in-a-Box": ("etc/mailinabox.conf", "root/mailinabox"),
    "mailcow": ("opt/mailcow-dockerized",),
    "iRedMail": ("opt/iredapd",),
    "Stalwart": ("opt/stalwart", "opt/stalwart-mail"),
    "mox": ("etc/mox", "home/mox/config"),
    "maddy": ("etc/maddy", "etc/madmail"),
    "OpenSMTPD": ("usr/sbin/smtpd", "etc/smtpd.conf"),
    "another chatmail relay": ("usr/local/lib/chatmaild", "etc/chatmail"),
}
"""Mail systems and what shows that one is there; any of its files suffices."""


def system(root: Path = Path("/")) -> System:
    """The system that runs here."""
    text = _text(root / "etc/os-release") or _text(root / "usr/lib/os-release")
    pairs = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    return System(
        id=pairs.get("ID", ""),
        version=pairs.get("VERSION_ID", ""),
        name=pairs.get("PRETTY_NAME", "an unknown system"),
        architecture=platform.machine(),
        has_systemd=(root / "run/systemd/system").is_dir(),
    )


def memory(root: Path = Path("/")) -> int:
    """Bytes that programs can have: of the machine, or fewer where a container is limited."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    limits = [int(match[1]) << 10] if match else []
    limit = _text(root / "sys/fs/cgroup/memory.max").strip()
    if limit.isdigit():
        limits.append(int(limit))
    return min(limits, default=0)


def disks(root: Path = Path("/")) -> tuple[Disk, ...]:
    """The free space where programs, logs and mailboxes go."""
    found = []
    for path in DISKS:
        with contextlib.suppress(OSError):
            there = os.statvfs(root / path.lstrip("/"))
            found.append(Disk(path, there.f_bfree * there.f_frsize))
    return tuple(found)


def listeners(root: Path = Path("/")) -> tuple[Listener, ...]:
    """The TCP ports that are taken, and by which programs."""
    sockets = [*_sockets(root / "proc/net/tcp"), *_sockets(root / "proc/net/tcp6")]
    processes = _processes(root / "proc") if sockets else {}
    found = {Listener(port, address, processes.get(inode, "")) for port, address, inode in sockets}
    return tuple(sorted(found, key=lambda each: (each.port, each.address)))


def _sockets(path: Path) -> Iterator[tuple[int, str, str]]:
    """Port, address and inode of each listening socket of one family."""
    for line in _text(path).splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTENING:
            address, _, port = fields[1].partition(":")
            yield int(port, 16), _address(address), fields[9]


def _address(text: str) -> str:
    """An address out of its 32-bit words, each in the order of this machine's octets."""
    words = (bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    return str(ipaddress.ip_address(b"".join(words)))


def _processes(proc: Path) -> dict[str, str]:
    """The program that has each socket, by inode; the first where several share it."""
    found: dict[str, str] = {}
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):  # it may end meanwhile, or not be ours to see
            name = _text(process / "comm").strip()
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(descriptor.readlink())
                    if target.startswith("socket:["):
                        found.setdefault(target[8:-1], name)
    return found


def names(root: Path = Path("/")) -> dict[str, tuple[str, ...]]:
    """/etc/hosts: the addresses of each name, both in lower case."""
    found: dict[str, tuple[str, ...]] = {}
    for line in _text(root / "etc/hosts").splitlines():
        address, *others = line.partition("#")[0].lower().split() or [""]
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(address)
            for name in others:
                found[name] = (*found.get(name, ()), address)
    return found


def mail_systems(root: Path = Path("/")) -> tuple[str, ...]:
    """Other mail systems on this host, in words."""
    found = [
        f"{name} (/{path})"
        for name, paths in _SYSTEMS.items()
        for path in [next((path for path in paths if (root / path).exists()), "")]
        if path
    ]
    main = _text(root / "etc/postfix/main.cf")
    if main and not main.startswith(OURS_IN_POSTFIX):
        found.append("a Postfix with a configuration of its own (/etc/postfix/main.cf)")
    return tuple(found)


def _text(path: Path) -> str:
    """A file's text; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
