"""This checkout on a booted host, and what `scripts/install` there would otherwise download."""

import subprocess
from pathlib import Path

from tests.hosts.host import Host
from tests.hosts.trees import CACHE, REPO, Report, Tree, build, digest, enter, locked

CHECKOUT = "/root/postern"
WHEELS = "/root/wheels"
INSTALL_SECONDS = 600
"""On a machine that is busy with other tests; else it takes half a minute."""
_DOWNLOAD = """
set -e
DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install python3-venv
python3 -m venv /tmp/venv
/tmp/venv/bin/pip download -q --only-binary=:all: --dest /mnt/wheels \
  --requirement /mnt/requirements.lock 'setuptools>=68'
"""


def ensure_wheels(tree: Tree, report: Report) -> Path:
    """The wheels of `requirements.lock` for a release's Python; raises CannotBuild."""
    lock = REPO / "requirements.lock"
    name = f"{tree.root.name}-wheels-{digest(_DOWNLOAD.encode() + lock.read_bytes())}"

    def download(draft: Path) -> None:
        draft.mkdir()
        binds = [f"--bind={draft}:/mnt/wheels", f"--bind-ro={lock}:/mnt/requirements.lock"]
        enter(tree.root, _DOWNLOAD, "--volatile=overlay", *binds)

    with locked(CACHE / f"{tree.release}.lock"):
        if not (CACHE / name).exists():
            report(f"{tree.release}: downloading the wheels of requirements.lock")
            build(CACHE / name, download)
    return CACHE / name


def check_out(host: Host, wheels: Path) -> None:
    """Copy the files that git knows, as they are in this checkout now, and the wheels."""
    listing = ["git", "-C", str(REPO), "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, check=True, capture_output=True, text=True)
    there = [name for name in done.stdout.splitlines() if (REPO / name).is_file()]
    target = host.root / CHECKOUT.lstrip("/")
    target.mkdir(parents=True)
    copy = ["cp", "--parents", "--preserve=mode", *there, str(target)]
    subprocess.run(copy, check=True, cwd=REPO)
    host.copy(wheels, WHEELS)


def install(host: Host, *arguments: str, check: bool = True) -> str:
    """Run `scripts/install` as an operator does; return what it printed on both outputs."""
    offline = f"PIP_NO_INDEX=1 PIP_FIND_LINKS={WHEELS}"
    command = " ".join([offline, f"{CHECKOUT}/scripts/install", *arguments, "2>&1"])
    return host.run("sh", "-c", command, check=check, seconds=INSTALL_SECONDS)
