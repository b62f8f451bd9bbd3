"""Units are started, reloaded or restarted: each only where it has to hear of a change.

Ours restart while systemd holds their sockets, and Debian's servers reload: neither refuses a
client. A socket that changed is the exception: its service stops for a moment. So is a drop-in of
one of Debian's: where a process logs to is decided when it starts.
"""

import re
import time
from collections.abc import Callable, Iterable

from postern.host.install.changes import Changes
from postern.host.install.differences import Differences
from postern.host.install.machine import Machine
from postern.host.install.plan import Plan

SETTLE_SECONDS = 45
_DROP_IN = re.compile(r"/etc/systemd/system/([^/@]+)@?\.service\.d/")
"""Of a service; Debian 12 has Postfix' processes in an instance of `postfix@.service`."""


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
    restarting = {f"{found[1]}.service" for path in paths if (found := _DROP_IN.match(path))}
    if any(path.startswith("/etc/systemd/") for path in paths):
        machine.run("systemctl", "daemon-reload")
    if any(path.startswith("/etc/sysctl.d/") for path in paths):
        # A container may not set what its host has to; then the host's value stays.
        machine.run("sysctl", "--quiet", "--system", check=False)
    for unit in plan.servers:
        asleep = unit in differences.asleep
        if unit.endswith(".socket") and (asleep or unit in changed):
            service = unit.replace(".socket", ".service")
            _open_socket(changes, unit, service, say)
            changed.discard(service)
            restarting.discard(service)
        elif not unit.endswith(".socket"):
            restart, reload = unit in restarting, unit in changed
            verb = "restart" if restart else "reload-or-restart" if reload else ""
            _serve(machine, changes, unit, verb, say, asleep=asleep)
    for unit in plan.services:
        _service(changes, plan, unit, changed, differences, say)


def _open_socket(changes: Changes, socket: str, service: str, say: Callable[[str], None]) -> None:
    changes.systemctl("stop", service, socket)
    changes.systemctl("enable", socket, service)
    changes.systemctl("start", socket)
    changes.systemctl("start", service)
    say(f"{socket} listens, {service} started")


def _serve(
    machine: Machine,
    changes: Changes,
    unit: str,
    verb: str,
    say: Callable[[str], None],
    *,
    asleep: bool,
) -> None:
    """Start one of Debian's servers, or let it hear of changes by `verb`, if there are any."""
    if asleep:
        changes.systemctl("enable", unit)
    if not machine.succeeds("systemctl", "--quiet", "is-active", unit):
        changes.systemctl("start", unit)
        say(f"{unit} started")
    elif verb:
        changes.systemctl(verb, unit)
        say(f"{unit} {'restarted' if verb == 'restart' else 'reloaded'}")


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
