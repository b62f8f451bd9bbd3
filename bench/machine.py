"""The circumstances of a result: machine, versions, commit."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.process import ROOT

LIBRARIES = ("uvloop", "aiosmtpd")


def circumstances() -> dict[str, str]:
    """Return the facts that the figures of a run depend on, by name; ask before the run."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f} in the minute before",
        "memory": f"{memory / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "Postfix": _first_line("postconf", "-d", "-h", "mail_version"),
    }


def _cpu_model() -> str:
    text = Path("/proc/cpuinfo").read_text()
    # Arm has no such line for a processor; some boards name themselves.
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _commit() -> str:
    commit = _first_line("git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD")
    changed = _first_line("git", "-C", str(ROOT), "status", "--porcelain", "--", "*.py")
    return f"{commit}, with changes" if changed != "none" else commit


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    except FileNotFoundError:
        return "none"
    return done.stdout.partition("\n")[0].strip() or "none"
