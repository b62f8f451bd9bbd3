"""A booted Debian host: systemd as process 1 in a container, and the commands that run in it.

Each host has a network namespace of its own, joined to this machine by one virtual cable, and
cgroups of its own: two hosts in one cgroup would stop each other's services. Its root is an
overlay over a cached tree, in memory, so that nothing of it stays.

It ends with its test run, also when the run is killed: systemd-nspawn then gets SIGTERM, which it
passes on as a request to power off. What a killed run leaves is swept by the next one.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import IO

from tests.hosts.trees import Tree

CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = Path("/run/netns")
PREFIX = "postern"
"""What the names of hosts, namespaces and cgroups begin with."""
BOOT_SECONDS = 60.0
STOP_SECONDS = 60.0
COMMAND_SECONDS = 120.0
_ENVIRON = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
)
# Enters the cgroups, then becomes the command. $1 is the list of them, one a line.
_IN_CGROUPS = 'for group in $1; do echo $$ >"$group/cgroup.procs"; done; shift; exec "$@"'
_numbers = itertools.count()


class HostFailed(Exception):
    """A host did not boot, or a command in it failed."""


def obstacle() -> str | None:
    """Return why no host can be booted on this machine, or None if one can be."""
    if os.geteuid() != 0:
        return "hosts are booted by root only"
    programs = ("systemd-nspawn", "debootstrap", "nsenter", "setpriv", "ip", "openssl")
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (scripts/test installs them)"
    if modprobe := shutil.which("modprobe"):
        subprocess.run([modprobe, "-q", "overlay"], check=False)
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        return "this kernel has no overlay file system"
    trial = f"{PREFIX}-{os.getpid()}-trial"
    try:
        with _own_cgroups(trial), _cable(trial):
            return None
    except OSError as error:
        return f"no cgroup can be made below {CGROUPS}: {error.strerror}"
    except subprocess.CalledProcessError as error:
        return f"no network namespace with a cable can be made: {' '.join(error.cmd)} failed"


@dataclass(frozen=True, slots=True)
class Network:
    """The cable between this machine and one host."""

    namespace: str
    here: str
    """This machine's address, as the host sees it."""
    there: str
    """The host's address, as this machine sees it."""


@dataclass(slots=True)
class Host:
    """A host that is up."""

    name: str
    network: Network
    leader: int
    """Its process 1, by this machine's number."""

    @property
    def root(self) -> Path:
        """Its root directory, for files whose paths have no absolute symbolic links."""
        return Path(f"/proc/{self.leader}/root")

    def run(
        self,
        *command: str,
        check: bool = True,
        stdin: str = "",
        seconds: float = COMMAND_SECONDS,
    ) -> str:
        """Run a command in the host; return what it printed. Raises HostFailed with its output."""
        inside = ["nsenter", f"--target={self.leader}", "--all", "--", "env", "-i", *_ENVIRON]
        done = subprocess.run(
            [*inside, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode != 0:
            said = (done.stdout + done.stderr).strip()
            raise HostFailed(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
        return done.stdout

    def shell(self, script: str) -> str:
        """Run a shell script in the host, which ends at the first command that fails."""
        return self.run("sh", "-euc", script)

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl; where a unit fails, the error has the end of the journal."""
        try:
            return self.run("systemctl", *arguments)
        except HostFailed as failed:
            raise HostFailed(f"{failed}\n{self.journal('--lines=40')}") from None

    def write(self, path: str, text: str, *, mode: int = 0o644, owner: str = "root:root") -> None:
        """Write a file, and the directories it is in."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        if owner != "root:root":
            self.run("chown", owner, path)

    def copy(self, source: Path, path: str) -> None:
        """Copy a directory of this machine to `path`, as root's."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [
            "cp",
            "-r",
            "--preserve=mode,timestamps,links",
            str(source.resolve()),
            str(target),
        ]
        subprocess.run(command, check=True)

    def journal(self, *arguments: str) -> str:
        """The journal's lines, as journalctl prints them with these arguments."""
        return self.run("journalctl", "--no-pager", "--quiet", *arguments)


@contextmanager
def booted(tree: Tree, hostname: str) -> Iterator[Host]:
    """Boot a host from a tree, and power it off at the end."""
    name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
    with ExitStack() as stack:
        network = stack.enter_context(_cable(name))
        groups = stack.enter_context(_own_cgroups(name))
        console = stack.enter_context(tempfile.TemporaryFile("w+"))
        machine = stack.enter_context(_machine(_nspawn(tree, name, hostname), groups, console))
        try:
            host = Host(name, network, _leader(machine))
            _wait(lambda: _is_up(host), BOOT_SECONDS, machine)
        except (HostFailed, subprocess.TimeoutExpired) as failed:
            console.seek(0)
            said = "\n".join(console.read().splitlines()[-30:])
            raise HostFailed(f"{failed}; its console:\n{said}") from None
        yield host


def sweep() -> None:
    """Remove the network namespaces and cgroups of test runs that were killed."""
    found = [*NAMESPACES.glob(f"{PREFIX}-*"), *CGROUPS.glob(f"{PREFIX}-*")]
    for path in [*found, *CGROUPS.glob(f"*/{PREFIX}-*")]:
        owner = re.fullmatch(rf"{PREFIX}-(\d+)-\w+", path.name)
        if owner is None or Path(f"/proc/{owner[1]}").exists():
            continue
        if path.parent == NAMESPACES:
            subprocess.run(["ip", "netns", "delete", path.name], check=False)
        else:
            _remove_cgroup(path)


def _nspawn(tree: Tree, name: str, hostname: str) -> list[str]:
    return [
        "systemd-nspawn",
        "--boot",
        f"--directory={tree.root}",
        "--volatile=overlay",
        f"--machine={name}",
        f"--hostname={hostname}",
        "--register=no",
        "--keep-unit",
        f"--network-namespace-path={NAMESPACES / name}",
        # Without it PrivateNetwork= is not enforced in the host.
        "--capability=CAP_NET_ADMIN",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=pipe",
    ]


@contextmanager
def _cable(name: str) -> Iterator[Network]:
    """A network namespace with one end of a cable; the other end is here."""
    number = next(_numbers)
    # 198.18.0.0/15 is for tests of networks (RFC 2544); four addresses for each cable.
    base = IPv4Address("198.18.0.0") + (os.getpid() * 8 + number % 8) % 2**15 * 4
    network = Network(name, str(base + 1), str(base + 2))
    here, steps = f"ph{os.getpid()}x{number}", []
    steps.append(["netns", "add", name])
    steps.append(["link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", name])
    steps.append(["address", "add", f"{network.here}/30", "dev", here])
    steps.append(["link", "set", here, "up"])
    steps.append(["-n", name, "address", "add", f"{network.there}/30", "dev", "eth0"])
    steps.append(["-n", name, "link", "set", "eth0", "up"])
    steps.append(["-n", name, "link", "set", "lo", "up"])
    try:
        for step in steps:
            subprocess.run(["ip", *step], check=True)
        yield network
    finally:
        # The cable goes with its end in the namespace, once the host's last process is gone.
        subprocess.run(["ip", "link", "delete", here], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "delete", name], check=False)


@contextmanager
def _own_cgroups(name: str) -> Iterator[list[Path]]:
    """A cgroup in each hierarchy that systemd uses: one, or version 1's and a unified one."""
    parents = [CGROUPS]
    if not (CGROUPS / "cgroup.controllers").exists():
        parents = [CGROUPS / kind for kind in ("systemd", "unified", "memory", "pids")]
    groups = [parent / name for parent in parents if parent.is_dir()]
    try:
        for group in groups:
            group.mkdir()
        yield groups
    finally:
        for group in groups:
            _remove_cgroup(group)


def _remove_cgroup(group: Path) -> None:
    """Remove a cgroup and those below it; one that still has processes stays."""
    for path, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()


@contextmanager
def _machine(
    command: list[str], groups: list[Path], console: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    """systemd-nspawn in a session of its own, so that a Ctrl-C is the tests' alone."""
    entering = ["sh", "-c", _IN_CGROUPS, "sh", "\n".join(map(str, groups))]
    machine = subprocess.Popen(
        ["setpriv", "--pdeathsig=TERM", *entering, *command],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        text=True,
        env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        start_new_session=True,
    )
    try:
        yield machine
    finally:
        _power_off(machine)


def _power_off(machine: subprocess.Popen[str]) -> None:
    # nspawn asks the host's systemd to power off.
    machine.terminate()
    try:
        machine.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for child in _children(machine.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        machine.kill()
        machine.wait()


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _leader(machine: subprocess.Popen[str]) -> int:
    """The host's process 1, once it is systemd."""
    found: list[int] = []

    def look() -> bool:
        for child in _children(machine.pid):
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    found.append(child)
        return bool(found)

    _wait(look, BOOT_SECONDS, machine)
    return found[0]


def _is_up(host: Host) -> bool:
    return host.run("systemctl", "is-system-running", check=False).strip() in (
        "running",
        "degraded",
    )


def _wait(condition: Callable[[], bool], seconds: float, machine: subprocess.Popen[str]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if machine.poll() is not None:
            raise HostFailed(f"the host ended with {machine.returncode} before it was up")
        if time.monotonic() > end:
            raise HostFailed(f"the host was not up after {seconds:.0f} s")
        time.sleep(0.05)
