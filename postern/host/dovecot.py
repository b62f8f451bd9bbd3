"""Which Dovecot is installed: 2.3 and 2.4 read different configurations."""

import subprocess
from functools import cache

SERIES = ("2.3", "2.4")
"""Those that we have templates for."""
FILES = {
    "2.3": ("dovecot-2.3/dovecot.conf", "doveauth.lua"),
    "2.4": ("dovecot-2.4/dovecot.conf", "doveauth.lua"),
}
"""The templates of a whole configuration, beside the push notifications'."""
PUSH_NOTIFICATION = "push_notification.lua"
"""The same for both."""


class UnknownDovecot(Exception):
    """None is installed, or one that we have no configuration for."""


@cache
def installed() -> str:
    """The series of the Dovecot that is installed, of `SERIES`; raises UnknownDovecot."""
    try:
        done = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise UnknownDovecot("Dovecot is not installed: scripts/run installs it") from None
    version = done.stdout.strip()
    series = ".".join(version.split(".")[:2])
    if series not in SERIES:
        raise UnknownDovecot(
            f"Dovecot {version} is none of {' and '.join(SERIES)}, which Debian 12 and 13 have"
        )
    return series
