"""Root directories of Debian releases, made once and cached: what the test hosts boot from.

A tree is a minimal Debian, as a hoster delivers it. The packages that `scripts/install` will want
are there as files that apt has fetched, not installed. It is not written to after it was made: a
host writes into an overlay that vanishes with it.

    python -m tests.hosts.trees [RELEASE ...]

makes them ahead of a test run. They are below /var/cache/postern-hosts, or POSTERN_HOSTS_CACHE.
Making one needs root, debootstrap, systemd-nspawn and a network; using one needs no network.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from postern.host.install import plan

REPO = Path(__file__).parents[2]
CACHE = Path(os.environ.get("POSTERN_HOSTS_CACHE", "/var/cache/postern-hosts"))
MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
BASE = "systemd,systemd-sysv,dbus,ca-certificates,iproute2"
"""What debootstrap adds to a minimal system, so that it boots."""
TOOLS = "git procps openssh-server pebble"
"""What is installed: an operator's tools, and an ACME server for tests."""
PACKAGES = " ".join(("python3-venv", *sorted(plan.PACKAGES)))
"""What is fetched."""
RELEASES = ("bookworm", "trixie")
CERTIFICATES = Path("/usr/local/share/ca-certificates")
"""Certificates that this machine trusts beyond Debian's: a proxy's, between it and PyPI."""

# Run by a shell in the tree. What is installed here is never started: not now, and not at boot.
_INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
update-ca-certificates >/dev/null
printf 'exit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -q update
apt-get -q -y upgrade
apt-get -q -y install --no-install-recommends $TOOLS
apt-get clean
apt-get -q -y install --no-install-recommends --download-only $PACKAGES
rm -f /usr/sbin/policy-rc.d
systemctl disable ssh.service
if [ -e /usr/lib/systemd/system/ssh.socket ]; then systemctl disable ssh.socket; fi
systemctl mask apt-daily.timer apt-daily-upgrade.timer
# debootstrap copied this machine's names: a host is given its own, and asks no name server.
rm -f /etc/hostname /etc/resolv.conf
touch /etc/resolv.conf
"""

Report = Callable[[str], None]
"""Says what is being done, where that takes long."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What hosts of one release boot from."""

    release: str
    root: Path


class CannotBuild(Exception):
    """A tree cannot be made here."""


def ensure_tree(release: str, report: Report) -> Tree:
    """The tree of a release, made now if it is not in the cache; raises CannotBuild."""
    root = CACHE / f"{release}-{digest(_recipe(release))}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / f"{release}.lock"):
        if not root.exists():
            build(root, lambda draft: _bootstrap(release, draft, report))
    return Tree(release, root)


def _recipe(release: str) -> bytes:
    return f"{release}\0{BASE}\0{TOOLS}\0{PACKAGES}\0{_INSTALL}".encode()


def digest(recipe: bytes) -> str:
    """The name of a recipe, short."""
    return hashlib.sha256(recipe).hexdigest()[:10]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between test runs: two may want the same tree at once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(target: Path, make: Callable[[Path], None]) -> None:
    """Make a directory under another name first, so that a half-made one is never used."""
    draft = target.with_name(f"{target.name}.building")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        make(draft)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _bootstrap(release: str, draft: Path, report: Report) -> None:
    report(f"{release}: debootstrap (about a minute)")
    _run(["debootstrap", "--variant=minbase", f"--include={BASE}", release, str(draft), MIRROR])
    with (draft / "etc/apt/sources.list").open("a") as sources:
        sources.write(f"deb {MIRROR} {release}-updates main\n")
        sources.write(f"deb {SECURITY} {release}-security main\n")
    inside = draft / CERTIFICATES.relative_to("/")
    for certificate in CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, inside)
    report(f"{release}: installing packages (one to two minutes)")
    enter(draft, f"TOOLS='{TOOLS}' PACKAGES='{PACKAGES}'{_INSTALL}")


def enter(tree: Path, script: str, *options: str) -> None:
    """Run a shell script in a tree that is not booted, with this machine's network."""
    environ = {"PIP_CERT": "/etc/ssl/certs/ca-certificates.crt"}
    names = ["PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT"]
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        names += [name, name.upper()]
    environ |= {name: os.environ[name] for name in names if name in os.environ}
    settings = [f"--setenv={name}={value}" for name, value in environ.items()]
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={tree}"]
    command += ["--resolv-conf=replace-host", "--timezone=off", "--link-journal=no"]
    _run([*command, "--pipe", *settings, *options, "/bin/sh", "-c", script])


def _run(command: list[str]) -> None:
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise CannotBuild(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        said = "\n".join((error.stdout + error.stderr).splitlines()[-30:])
        raise CannotBuild(f"{command[0]} ended with {error.returncode}:\n{said}") from None


def main() -> None:
    """Make the trees that are named, or all."""
    for release in sys.argv[1:] or RELEASES:
        tree = ensure_tree(release, lambda text: print(text, flush=True))  # noqa: T201
        print(f"{release}: {tree.root}")  # noqa: T201


if __name__ == "__main__":
    main()
