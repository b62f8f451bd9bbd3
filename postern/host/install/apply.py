"""From what a host is to what it should be, or back to what it was."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from postern.host.install.changes import Changes, undo
from postern.host.install.differences import Differences
from postern.host.install.journal import Journal
from postern.host.install.machine import CommandFailed, Machine
from postern.host.install.manifest import MANIFEST, Manifest, digest, kept_aside
from postern.host.install.plan import CONFIG, Plan
from postern.host.install.proof import Unproven
from postern.host.install.services import NotUp, settle, wait_until_up
from postern.host.install.validate import Invalid, staged, validate
from relay.mailbox.directory import MARK

JOURNAL = "/var/lib/postern-installing"
"""There while an installation is under way; beside nothing else, so that undoing leaves nothing."""
Say = Callable[[str], None]
Extra = Callable[[Changes], None]
"""A step of a part: keys and certificates that are made once."""


class Failed(Exception):
    """The installation failed, and the host is as it was, apart from `complaints`."""

    def __init__(self, reason: str, complaints: list[str]) -> None:
        super().__init__(reason)
        self.complaints = complaints


def recover(machine: Machine) -> list[str] | None:
    """Put back what an installation left that was interrupted.

    Return what could not be put back, or None where none was interrupted.
    """
    journal = Journal(machine.at(JOURNAL))
    return undo(machine, journal) if journal.is_open else None


@contextmanager
def undone_if_failed(machine: Machine) -> Iterator[Changes]:
    """Changes that are all undone if anything in the block fails; raises Failed then."""
    journal = Journal(machine.at(JOURNAL))
    journal.begin()
    try:
        yield Changes(machine, journal)
    except BaseException as error:
        complaints = undo(machine, journal)
        if isinstance(error, CommandFailed | OSError | Invalid | NotUp | Unproven):
            raise Failed(str(error), complaints) from error
        raise
    journal.end()


def apply(
    machine: Machine,
    plan: Plan,
    differences: Differences,
    changes: Changes,
    say: Say,
    once: Extra,
) -> None:
    """Make the changes, step by step; raises what a step that fails raises.

    `once` makes the keys and certificates that are missing: the programs' own checks want them.
    """
    if differences.packages:
        say(f"Debian packages: {' '.join(differences.packages)}")
        changes.install_packages(differences.packages)
    if differences.new_user:
        changes.add_user(differences.new_user, plan.mailboxes_uid, "/nonexistent")
    for directory in differences.directories:
        changes.make_directory(directory.path, directory.mode, directory.user, directory.group)
    _mark(machine, changes, plan)
    once(changes)
    say("the programs' own checks of the new files")
    with staged(machine, plan.files, plan.venv) as stage:
        validate(machine, stage)
    _write_files(machine, changes, plan, differences)
    for link, target in differences.links.items():
        changes.link(link, target)
    settle(machine, changes, plan, differences, say)
    wait_until_up(machine, (*plan.servers, *plan.services))


def _mark(machine: Machine, changes: Changes, plan: Plan) -> None:
    """The mark says that the mailboxes' disk is there; only a new directory is given one."""
    directory = str(plan.config.mailboxes_dir)
    if not any(machine.at(directory).iterdir()):
        changes.mark(directory, MARK, plan.config.mailboxes_user)


def _write_files(machine: Machine, changes: Changes, plan: Plan, differences: Differences) -> None:
    day = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime())
    for change in differences.files:
        if change.is_edited:
            aside = str(kept_aside(change.file.path, day))
            changes.write(aside, machine.at(change.file.path).read_bytes(), 0o600)
        changes.write(change.file.path, change.file.text, change.file.mode, group=change.file.group)
    for path in differences.stale:
        changes.remove(path)
    digests = {file.path: digest(file.text.encode()) for file in plan.files}
    digests[CONFIG] = digest(machine.at(CONFIG).read_bytes())
    changes.write(MANIFEST, Manifest(digests).text(), 0o600)


def remove_version(directory: Path) -> None:
    """Remove a version that no longer runs."""
    shutil.rmtree(directory)


def old_versions(machine: Machine, versions: str, current: str) -> list[Path]:
    """Version directories that may go: all but the running one and the one before it."""
    running = Path(current).parent.name
    others = [each for each in machine.at(versions).iterdir() if each.name != running]
    return sorted(others, key=lambda each: each.stat().st_mtime)[:-1]
