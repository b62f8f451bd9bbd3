"""Changes of a host, each in the journal before it is made, and the way back from each."""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from postern.host.install.journal import Entry, Journal
from postern.host.install.machine import CommandFailed, Machine

OURS = ("doveauth", "metadata", "filtermail@")
"""How the names of our services begin: systemd holds their sockets while they restart."""
_POLICY = "/usr/sbin/policy-rc.d"
_APT = (
    "apt-get",
    "--yes",
    "--quiet",
    "--no-install-recommends",
    "--option=DPkg::Lock::Timeout=300",
    "--option=Dpkg::Options::=--force-confdef",
    "--option=Dpkg::Options::=--force-confold",
)


class Changes:
    """What is done to a host in one installation."""

    def __init__(self, machine: Machine, journal: Journal) -> None:
        self._machine = machine
        self._journal = journal

    def write(
        self, path: str, content: str | bytes, mode: int = 0o644, group: str = "root"
    ) -> None:
        """Write a file of root's by rename, the directories it is in included."""
        target = self._machine.at(path)
        self._make_parents(path)
        entry: Entry = {"kind": "file", "path": path, "kept": None}
        with contextlib.suppress(FileNotFoundError):
            before = target.lstat()
            if stat.S_ISLNK(before.st_mode):
                entry = {"kind": "link", "path": path, "target": str(target.readlink())}
            else:
                entry |= {"kept": self._journal.keep(target), "mode": stat.S_IMODE(before.st_mode)}
                entry |= {"uid": before.st_uid, "gid": before.st_gid}
        self._journal.record(entry)
        if isinstance(content, str):
            content = content.encode()
        _replace(target, content, mode, (0, self._machine.groups()[group]))

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link, or let it point elsewhere, by rename."""
        self._make_parents(path)
        place = self._machine.at(path)
        before = str(place.readlink()) if place.is_symlink() else None
        self._journal.record({"kind": "link", "path": path, "target": before})
        _relink(place, target)

    def make_directory(
        self, path: str, mode: int = 0o755, user: str = "root", group: str = "root"
    ) -> None:
        """Make a directory and those above it; one that is there stays as it is."""
        place = self._machine.at(path)
        if place.is_dir():
            return
        self._make_parents(path)
        self._journal.record({"kind": "directory", "path": path})
        place.mkdir(mode=0o700)
        # By a descriptor: whoever owns the directory above could put a link in its place.
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise OSError(f"{path}: another user has replaced this directory")
            os.fchmod(descriptor, mode)
            if os.geteuid() == 0:
                owner = (self._machine.users()[user], self._machine.groups()[group])
                os.fchown(descriptor, *owner)
        finally:
            os.close(descriptor)

    def _make_parents(self, path: str) -> None:
        parent = str(Path(path).parent)
        if not self._machine.at(parent).is_dir():
            self.make_directory(parent)

    def mark(self, directory: str, name: str, user: str) -> None:
        """Make an empty file in a directory of `user`'s, as that user's; follows no link."""
        self._journal.record({"kind": "file", "path": f"{directory}/{name}", "kept": None})
        place = os.open(self._machine.at(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            owner = os.fstat(place)
            if os.geteuid() == 0 and owner.st_uid != self._machine.users()[user]:
                raise OSError(f"{directory} does not belong to {user}")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            file = os.open(name, flags, 0o600, dir_fd=place)
            os.fchown(file, owner.st_uid, owner.st_gid)
            os.close(file)
        finally:
            os.close(place)

    def remove(self, path: str) -> None:
        """Remove a file."""
        target = self._machine.at(path)
        status = target.lstat()
        kept = {"kept": self._journal.keep(target), "mode": stat.S_IMODE(status.st_mode)}
        entry: Entry = {"kind": "file", "path": path, "uid": status.st_uid, "gid": status.st_gid}
        self._journal.record(entry | kept)
        target.unlink()

    def will_make(self, path: str) -> None:
        """A file or directory that something else is about to make goes when this is undone."""
        if not self._machine.at(path).exists():
            self._journal.record({"kind": "made", "path": path})

    def add_user(self, name: str, uid: int, home: str) -> None:
        """Add a system user with a group of its name."""
        self._journal.record({"kind": "user", "name": name})
        self._machine.run(
            *("useradd", "--system", "--user-group", "--uid", str(uid), "--home-dir", home),
            *("--no-create-home", "--shell", "/usr/sbin/nologin", name),
        )

    def join_group(self, user: str, group: str) -> None:
        """Put a user into a group beside its own."""
        if user in self._machine.members(group):
            return
        self._journal.record({"kind": "member", "user": user, "group": group})
        self._machine.run("usermod", "--append", "--groups", group, user)

    def install_packages(self, names: Iterable[str]) -> None:
        """Install Debian packages. Nothing that they bring is started by that."""
        self._journal.record({"kind": "packages", "before": sorted(self._machine.packages())})
        policy = self._machine.at(_POLICY)
        ours = not policy.exists()
        if ours:
            self._journal.record({"kind": "file", "path": _POLICY, "kept": None})
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            # Without a main.cf of Debian's making Postfix waits for ours.
            choice = "postfix postfix/main_mailer_type select No configuration\n"
            self._machine.run("debconf-set-selections", text=choice)
            self._apt_install(tuple(names))
        finally:
            if ours:
                policy.unlink(missing_ok=True)

    def _apt_install(self, names: tuple[str, ...]) -> None:
        try:
            self._machine.run(*_APT, "install", *names)
        except CommandFailed:
            # Package lists that were never fetched, or that are too old.
            self._machine.run(*_APT, "update")
            self._machine.run(*_APT, "install", *names)

    def systemctl(self, verb: str, *units: str) -> None:
        """Start, stop, restart, reload, enable or disable units; their states are kept before."""
        for unit in units:
            self._journal.record(
                {
                    "kind": "unit",
                    "name": unit,
                    "enabled": self._machine.succeeds("systemctl", "--quiet", "is-enabled", unit),
                    "active": self._machine.succeeds("systemctl", "--quiet", "is-active", unit),
                }
            )
        try:
            self._machine.run("systemctl", "--quiet", verb, *units)
        except CommandFailed as failed:
            logs = [f"--unit={unit}" for unit in units]
            said = self._machine.run("journalctl", "--quiet", "--lines=15", *logs, check=False)
            raise CommandFailed(f"{str(failed).strip()}\n{said.strip()}") from None


def undo(machine: Machine, journal: Journal) -> list[str]:
    """Put a host back as it was before the installation that is in the journal.

    Return what could not be put back, in words; all else was. Units that were not there or asleep
    end while systemd still knows their files; then files go back, then what was up runs with them.
    """
    complaints: list[str] = []
    entries = list(journal.backwards())

    def go_back(*kinds: str) -> None:
        for entry in entries:
            if entry["kind"] in kinds:
                _attempt(complaints, _UNDO[entry["kind"]], machine, journal, entry)

    # Of a unit the oldest entry counts, which has its state before all.
    units = {entry["name"]: entry for entry in entries if entry["kind"] == "unit"}
    for entry in units.values():
        _attempt(complaints, _put_to_sleep, machine, entry)
    go_back("file", "link", "made", "directory")
    _attempt(complaints, machine.run, "systemctl", "daemon-reload")
    for entry in units.values():
        _attempt(complaints, _wake, machine, entry)
    go_back("member")
    go_back("packages")
    # What packages had put into directories of ours is gone now, and users own nothing any more.
    go_back("directory", "user")
    journal.end()
    return complaints


def _attempt(complaints: list[str], step: Callable[..., object], *arguments: object) -> None:
    try:
        step(*arguments)
    except (OSError, CommandFailed) as error:
        complaints.append(str(error))


def _undo_file(machine: Machine, journal: Journal, entry: Entry) -> None:
    target = machine.at(entry["path"])
    if entry["kept"] is None:
        target.unlink(missing_ok=True)
        return
    _replace(target, journal.kept(entry["kept"]), entry["mode"], (entry["uid"], entry["gid"]))


def _undo_link(machine: Machine, _journal: Journal, entry: Entry) -> None:
    place = machine.at(entry["path"])
    if entry["target"] is None:
        place.unlink(missing_ok=True)
    else:
        _relink(place, entry["target"])


def _undo_made(machine: Machine, _journal: Journal, entry: Entry) -> None:
    place = machine.at(entry["path"])
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _undo_directory(machine: Machine, _journal: Journal, entry: Entry) -> None:
    """Remove it where nothing is in it: what others have put there is not ours to remove."""
    with contextlib.suppress(OSError):
        machine.at(entry["path"]).rmdir()


def _undo_user(machine: Machine, _journal: Journal, entry: Entry) -> None:
    if entry["name"] in machine.users():
        machine.run("userdel", entry["name"])


def _undo_member(machine: Machine, _journal: Journal, entry: Entry) -> None:
    if entry["user"] in machine.members(entry["group"]):
        machine.run("gpasswd", "--delete", entry["user"], entry["group"])


def _undo_packages(machine: Machine, _journal: Journal, entry: Entry) -> None:
    added = sorted(machine.packages() - set(entry["before"]))
    if added:
        machine.run(*_APT, "purge", *added)


def _put_to_sleep(machine: Machine, entry: Entry) -> None:
    if not entry["enabled"]:
        machine.run("systemctl", "--quiet", "disable", entry["name"], check=False)
    if not entry["active"]:
        machine.run("systemctl", "--quiet", "stop", entry["name"], check=False)
        machine.run("systemctl", "--quiet", "reset-failed", entry["name"], check=False)


def _wake(machine: Machine, entry: Entry) -> None:
    name = entry["name"]
    if entry["active"] and name.endswith(".socket"):
        machine.run("systemctl", "--quiet", "start", name)
    elif entry["active"]:
        verb = "restart" if name.startswith(OURS) else "reload-or-restart"
        machine.run("systemctl", "--quiet", verb, name)


_UNDO: dict[str, Callable[[Machine, Journal, Entry], None]] = {
    "file": _undo_file,
    "link": _undo_link,
    "made": _undo_made,
    "directory": _undo_directory,
    "user": _undo_user,
    "member": _undo_member,
    "packages": _undo_packages,
}


def _replace(target: Path, content: bytes, mode: int, owner: tuple[int, int]) -> None:
    draft = target.with_name(f".{target.name}.postern-new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(content)
        if os.geteuid() == 0:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        file.flush()
        os.fsync(descriptor)
    draft.rename(target)


def _relink(place: Path, target: str) -> None:
    draft = place.with_name(f".{place.name}.postern-new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.rename(place)
