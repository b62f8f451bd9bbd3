"""`scripts/install --host`: an installation from another computer, over a real sshd."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts.checkout import CHECKOUT, INSTALL_SECONDS, WHEELS
from tests.hosts.relay import DOMAIN, Relay
from tests.hosts.trees import REPO

ENVIRONMENT = "/etc/environment"
"""PAM reads it for a session of sshd: pip there downloads nothing."""
SSH = """#!/bin/sh
exec {ssh} -i {key} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
  -o LogLevel=ERROR "$@"
"""


@pytest.fixture
def ssh(relay: Relay, tmp_path: Path) -> Iterator[Path]:
    """A directory with an `ssh` that logs in as root of the host."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH.format(ssh=shutil.which("ssh"), key=key))
    program.chmod(0o755)
    # It would log the client's address, which another test looks for.
    relay.host.write("/etc/ssh/sshd_config.d/quiet.conf", "LogLevel QUIET\n")
    relay.host.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text(), mode=0o600)
    with _offline(relay):
        relay.host.systemctl("start", "ssh.service")
        yield program.parent
        relay.host.systemctl("stop", "ssh.service")
    relay.host.run("rm", "/root/.ssh/authorized_keys")


@contextmanager
def _offline(relay: Relay) -> Iterator[None]:
    before = relay.host.run("cat", ENVIRONMENT, check=False)
    relay.host.write(ENVIRONMENT, f"{before}\nPIP_NO_INDEX=1\nPIP_FIND_LINKS={WHEELS}\n")
    yield
    relay.host.write(ENVIRONMENT, before)


def install(ssh: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this checkout's scripts/install on this machine; both outputs are one.

    In a user namespace, where it is not root: a fault in it must not install a relay here.
    """
    return subprocess.run(
        ["unshare", "--user", str(REPO / "scripts/install"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
        env=os.environ | {"PATH": f"{ssh}:{os.environ['PATH']}"},
    )


def left_behind(relay: Relay) -> str:
    """What is in /root, such as a checkout of the operator's own, and in /tmp."""
    return relay.host.shell(f"ls -A /root /tmp; find {CHECKOUT} -type f | sort | xargs sha256sum")


@pytest.mark.parametrize(
    "order", [["--host", "{host}", DOMAIN], [DOMAIN, "--host={host}"], ["--host", "{host}"]]
)
def test_an_installed_host_has_nothing_to_change(relay: Relay, ssh: Path, order: list[str]) -> None:
    before = left_behind(relay)
    done = install(ssh, *(word.format(host=f"root@{relay.address}") for word in order))
    assert "Nothing to change" in done.stdout, done.stdout
    assert done.returncode == 0
    assert left_behind(relay) == before


def test_a_failure_there_is_a_failure_here(relay: Relay, ssh: Path) -> None:
    before = left_behind(relay)
    done = install(ssh, "--host", f"root@{relay.address}", "other.example.org")
    assert done.returncode == 1
    assert f"This host is the relay of {DOMAIN}" in done.stdout
    assert left_behind(relay) == before


def test_a_host_that_does_not_answer_is_named(relay: Relay, ssh: Path) -> None:
    relay.host.systemctl("stop", "ssh.service")
    done = install(ssh, "--host", f"root@{relay.address}", DOMAIN)
    assert done.returncode == 1
    assert f"root@{relay.address}: " in done.stdout
