"""Where a sandbox lies: a directory that the mail users can reach and whose sockets fit."""

import fcntl
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.problem import SandboxProblem

SUN_PATH_MAX = 107
"""Bytes of a unix socket's path on Linux, less its terminating zero (unix(7))."""
LONGEST_SOCKET = "/postfix-queue/public/reinject-outgoing-"
"""Longer than any socket below a sandbox."""
_SAFE = re.compile(r"[\w/.+@=~-]+")
FALLBACK = Path("/var/tmp")  # noqa: S108 - mkdtemp makes names below it that nobody can guess


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox's directory."""

    root: Path
    reason: str = ""
    """Why it is not where it was asked for; empty where it is."""

    @property
    def temporary(self) -> bool:
        """Whether it is removed at the end."""
        return bool(self.reason)

    def remove(self) -> None:
        """Delete everything below and the directory itself."""
        shutil.rmtree(self.root, ignore_errors=True)


def choose_place(wanted: Path) -> Place:
    """`wanted`, made if missing, or a fresh directory in /var/tmp where that cannot serve."""
    reason = obstacle(wanted)
    if not reason:
        wanted.mkdir(mode=0o755, parents=True, exist_ok=True)
        return Place(wanted)
    root = Path(tempfile.mkdtemp(prefix="postern-", dir=FALLBACK))
    root.chmod(0o711)
    return Place(root, reason)


def obstacle(wanted: Path) -> str:
    """Why `wanted` cannot hold a sandbox; empty where it can."""
    if len(os.fsencode(wanted)) + len(LONGEST_SOCKET) > SUN_PATH_MAX:
        return f"{wanted} is too long for the paths of unix sockets"
    if not _SAFE.fullmatch(str(wanted)):
        return f"the configuration of Postfix and Dovecot cannot hold every character of {wanted}"
    for directory in (wanted, *wanted.parents):
        if directory.exists() and not directory.stat().st_mode & 0o001:
            return f"the users of Postfix and Dovecot cannot enter {directory}"
    return ""


def lock(directory: Path) -> int:
    """Hold `directory` for this process alone; the descriptor to keep open.

    Raises SandboxProblem where another process holds it.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise SandboxProblem(
            f"another sandbox (process {holder}) runs in {directory}. "
            f"`scripts/run login --directory {directory}` prints a login for it; "
            "`scripts/run --directory DIR` starts one more beside it."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
