"""What the last installation wrote: an edit by hand is seen, and never overwritten unseen."""

import hashlib
import json
from pathlib import Path

from postern.host.install.machine import Machine

MANIFEST = "/var/lib/postern/install/manifest.json"
EDITED = "/var/lib/postern/install/edited"


class Manifest:
    """The digests of the files that were written, by path."""

    def __init__(self, digests: dict[str, str] | None = None) -> None:
        self.digests = digests or {}

    @classmethod
    def of(cls, machine: Machine) -> "Manifest":
        """The host's; an empty one before the first installation."""
        try:
            return cls(json.loads(machine.at(MANIFEST).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()

    def text(self) -> str:
        """As it is written to the host."""
        return json.dumps(self.digests, indent=1, sort_keys=True) + "\n"

    def is_edited(self, path: str, current: bytes) -> bool:
        """Whether a file that we wrote has other contents now."""
        return path in self.digests and self.digests[path] != digest(current)


def digest(content: bytes) -> str:
    """The name of some contents."""
    return hashlib.sha256(content).hexdigest()


def kept_aside(path: str, day: str) -> Path:
    """Where an edited file is kept when it is replaced."""
    return Path(EDITED) / day / path.lstrip("/")
