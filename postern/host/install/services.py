"""Units are started, reloaded or restarted: each only where it has to hear of a change.

Ours restart while systemd holds their sockets, and Debian's servers reload: neither refuses a
client. A socket that changed is the exception: its service stops for a moment.
"""

import time
from collections.abc import Callable, Iterable

from postern.host.install.changes import Changes
from postern.host.install.differences import Differences
from postern.host.install.machine import Machine
from postern.host.install.plan import Plan

SETTLE_SECONDS = 45


class NotUp(Exception):
    """A unit did not come up; the message has the end of its log."""


def settle(
    machine: Machine,
    changes: Changes,
    plan: Plan,
    differences: Differences,
    say: Callable[[str], None],
) -> None:
    """Let every unit run with what was changed, and `say` what is done."""
    paths = [change.file.path for change in differences.files]
    changed = {change.file.unit for change in differences.files if change.file.unit}
    if any(path.startswith("/etc/systemd/") for path in paths):
        machine.run("systemctl", "daemon-reload")
    if any(path.startswith("/etc/sysctl.d/") for path in paths):
        # A container may not set what its host has to; then the host's value stays.
        machine.run("sysctl", "--quiet", "--system", check=False)
    for unit in plan.servers:
        asleep = unit in differences.asleep
        if unit.endswith(".socket") and (asleep or unit in changed):
            _open_socket(changes, unit, say)
        elif not unit.endswith(".socket"):
            _serve(machine, changes, unit, say, asleep=asleep, changed=unit in changed)
    for unit in plan.services:
        _service(changes, plan, unit, changed, differences, say)


def _open_socket(changes: Changes, socket: str, say: Callable[[str], None]) -> None:
    service = socket.replace(".socket", ".service")
    changes.systemctl("stop", service, socket)
    changes.systemctl("enable", socket, service)
    changes.systemctl("start", socket)
    changes.systemctl("start", service)
    say(f"{socket} listens, {service} started")


def _serve(
    machine: Machine,
    changes: Changes,
    unit: str,
    say: Callable[[str], None],
    *,
    asleep: bool,
    changed: bool,
) -> None:
    """Start one of Debian's servers, or let it read its files again."""
    if asleep:
        changes.systemctl("enable", unit)
    if not machine.succeeds("systemctl", "--quiet", "is-active", unit):
        changes.systemctl("start", unit)
        say(f"{unit} started")
    elif changed and not asleep:
        changes.systemctl("reload-or-restart", unit)
        say(f"{unit} reloaded")


def _service(
    changes: Changes,
    plan: Plan,
    unit: str,
    changed: set[str],
    differences: Differences,
    say: Callable[[str], None],
) -> None:
    """Start, restart or reload one of our services."""
    sockets = [socket for socket, service in plan.sockets.items() if service == unit]
    template = unit.replace("@outgoing", "@").replace("@incoming", "@")
    if unit in differences.asleep or changed & set(sockets):
        # systemd does not start a socket while its service runs.
        changes.systemctl("stop", unit, *sockets)
        changes.systemctl("enable", unit, *sockets)
        changes.systemctl("start", *sockets, unit)
        say(f"{unit} started")
    elif changed & {unit, template} or (differences.is_new_version and unit.endswith(".service")):
        changes.systemctl("restart", unit)
        say(f"{unit} restarted")
    elif differences.is_new_config and unit.endswith(".service"):
        changes.systemctl("reload", unit)
        say(f"{unit} reloaded")


def wait_until_up(machine: Machine, units: Iterable[str]) -> None:
    """Wait until all units are active; raises NotUp."""
    waiting, end = list(units), time.monotonic() + SETTLE_SECONDS
    while waiting:
        state = machine.run("systemctl", "is-active", waiting[0], check=False).strip()
        if state == "active":
            waiting.pop(0)
        elif state in ("failed", "inactive") or time.monotonic() > end:
            log = ("journalctl", "--no-pager", "--quiet", "--lines=15", "--unit", waiting[0])
            raise NotUp(f"{waiting[0]} is {state}:\n{machine.run(*log, check=False).strip()}")
        else:
            time.sleep(0.2)
