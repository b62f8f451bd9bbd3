"""What of a host is not as planned. Looks, and changes nothing."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from postern.host.install.machine import Machine
from postern.host.install.manifest import Manifest
from postern.host.install.plan import CONFIG, CURRENT, Directory, File, Plan


@dataclass(frozen=True, slots=True)
class Change:
    """A file that has to be written."""

    file: File
    before: str | None
    """What is there; None where nothing is."""
    is_edited: bool
    """By hand, since it was written last."""

    def diff(self) -> str:
        """A unified diff."""
        old, new = (self.before or "").splitlines(), self.file.text.splitlines()
        source = "/dev/null" if self.before is None else self.file.path
        return "\n".join(difflib.unified_diff(old, new, source, self.file.path, lineterm=""))


@dataclass(slots=True)
class Differences:
    """All that is to be done; nothing of it where the host is as planned."""

    packages: list[str] = field(default_factory=list)
    new_user: str = ""
    directories: list[Directory] = field(default_factory=list)
    files: list[Change] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    """Files that an older version wrote and this one has no use for."""
    links: dict[str, str] = field(default_factory=dict)
    is_new_config: bool = False
    """Whether chatmail.ini is another than at the last installation."""
    asleep: list[str] = field(default_factory=list)
    """Units that are not enabled, or not active."""

    @property
    def is_new_version(self) -> bool:
        """Whether another version is to run."""
        return CURRENT in self.links

    def __bool__(self) -> bool:
        return bool(
            self.packages
            or self.new_user
            or self.directories
            or self.files
            or self.stale
            or self.links
            or self.is_new_config
            or self.asleep
        )


def _points_to(link: Path) -> str | None:
    return str(link.readlink()) if link.is_symlink() else None


def found(machine: Machine, plan: Plan) -> Differences:
    """The differences between a host and a plan."""
    manifest = Manifest.of(machine)
    differences = Differences()
    there = machine.packages()
    differences.packages = [name for name in plan.packages if name not in there]
    if plan.config.mailboxes_user not in machine.users():
        differences.new_user = plan.config.mailboxes_user
    differences.directories = [
        each for each in plan.directories if not machine.at(each.path).is_dir()
    ]
    differences.files = [
        change for file in plan.files if (change := _change(machine, manifest, file)) is not None
    ]
    config = machine.at(CONFIG)
    differences.is_new_config = config.exists() and manifest.is_edited(CONFIG, config.read_bytes())
    planned = {CONFIG, *(file.path for file in plan.files)}
    differences.stale = [
        path for path in manifest.digests if path not in planned and machine.at(path).exists()
    ]
    differences.links = {
        link: target
        for link, target in plan.links.items()
        if _points_to(machine.at(link)) != target
    }
    differences.asleep = [
        unit for unit in (*plan.servers, *plan.services) if not _is_up(machine, unit)
    ]
    return differences


def _change(machine: Machine, manifest: Manifest, file: File) -> Change | None:
    target = machine.at(file.path)
    try:
        before = target.read_bytes()
    except FileNotFoundError:
        return Change(file, None, is_edited=False)
    if before == file.text.encode() and (target.stat().st_mode & 0o7777) == file.mode:
        return None
    edited = manifest.is_edited(file.path, before)
    return Change(file, before.decode(errors="replace"), edited)


def _is_up(machine: Machine, unit: str) -> bool:
    return machine.succeeds("systemctl", "--quiet", "is-enabled", unit) and machine.succeeds(
        "systemctl", "--quiet", "is-active", unit
    )
