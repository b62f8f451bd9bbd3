"""A sandbox as a whole: start, watch, stop.

with Sandbox(Path(".sandbox")) as sandbox:
    sandbox.ports["imaps"]
"""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from postern.host import dovecot
from postern.options import RECORD
from sandbox import daemons
from sandbox.layout import Layout, write_files
from sandbox.places import Place, choose_place, lock
from sandbox.ports import PREFERRED, choose_ports
from sandbox.problem import SandboxProblem
from sandbox.process import Daemon, Leftover, end_leftover

DOMAIN = "[127.0.0.1]"
"""An address literal needs no DNS; clients log in to it by a `dclogin:` link."""
PORTS = "ports.json"
"""The ports of the last run, in the sandbox's directory: profiles made in it have them."""
METERED = ("doveauth", "metadata", "filtermail@outgoing", "filtermail@incoming")
"""Daemons that count and time; `postern status` asks them."""
WATCH_SECONDS = 0.1
RESTART_SECONDS = 0.3
RESTART_SECONDS_AT_MOST = 10.0
STEADY_SECONDS = 10.0
"""A daemon that ran this long and then ends is started again without a longer wait."""

Report = Callable[[str], None]
Adapt = Callable[[Layout], None]


class Sandbox:
    """One relay in a private directory. Its methods raise SandboxProblem."""

    def __init__(
        self,
        directory: Path,
        *,
        domain: str = DOMAIN,
        fixed_ports: bool = False,
        report: Report = lambda _text: None,
        adapt: Adapt = lambda _layout: None,
    ) -> None:
        """`fixed_ports` prefers known ports; `report` is called with each line of what happens.

        `adapt` may change the files once they are written, before anything starts.
        """
        self.domain = domain
        self.daemons: dict[str, Daemon] = {}
        self.ports: dict[str, int] = {}
        self.user: str | None = None
        self.layout = Layout(directory.resolve())
        self._wanted = directory.resolve()
        self._place = Place(self._wanted)
        self._lock: int | None = None
        self._fixed_ports = fixed_ports
        self._report = report
        self._adapt = adapt
        self._guard = threading.RLock()
        self._held: set[str] = set()
        self._restarts = Restarts()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def directory(self) -> Path:
        """The directory that was asked for, where its record is."""
        return self._wanted

    def start(self) -> None:
        """Start everything, and return when each daemon answers."""
        check_programs()
        self._lock = lock(self._wanted)
        self._prepare()
        for daemon in self.daemons.values():
            self._launch(daemon)
        for daemon in self.daemons.values():
            daemon.wait_until_it_answers()
            self._report(f"{daemon.spec.name} answers")
        self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End everything that was started, and nothing else; also after a start that failed."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        with self._guard:
            for daemon in self.daemons.values():
                daemon.ask_to_stop()
            for daemon in self.daemons.values():
                daemon.wait_until_stopped()
            if self._lock is not None:
                (self._wanted / RECORD).unlink(missing_ok=True)
                os.close(self._lock)
                self._lock = None

    def remove(self) -> None:
        """Delete the files of a sandbox that has been stopped."""
        self._place.remove()
        shutil.rmtree(self._wanted, ignore_errors=True)

    def remove_if_temporary(self) -> None:
        """Delete the files where they are not in the directory that was asked for."""
        if self._place.temporary:
            self._place.remove()

    def kill(self, name: str) -> None:
        """End a daemon as a crash would; it stays down until `restart`."""
        with self._guard:
            self._held.add(name)
            self.daemons[name].kill()

    def restart(self, name: str) -> None:
        """Start a daemon that was killed, or end it in its own way first if it runs."""
        with self._guard:
            daemon = self.daemons[name]
            daemon.ask_to_stop()
            daemon.wait_until_stopped()
            self._launch(daemon)
            self._held.discard(name)
        daemon.wait_until_it_answers()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.remove_if_temporary()

    def _prepare(self) -> None:
        end_leftovers(self._wanted, self._report)
        self._place = choose_place(self._wanted)
        self.layout = Layout(self._place.root)
        if self._place.temporary:
            self._report(f"the sandbox is in {self._place.root}: {self._place.reason}")
        self.ports = self._choose_ports()
        write_files(self.layout, self.domain, self.ports)
        self._adapt(self.layout)
        self.user = daemons.interpreter_user()
        for spec in daemons.specs(self.layout, self.ports, self.user):
            spec.log.unlink(missing_ok=True)
            self.daemons[spec.name] = Daemon(spec)

    def _choose_ports(self) -> dict[str, int]:
        """Free ports; with `fixed_ports` those of the last run, or else the known ones."""
        if not self._fixed_ports:
            return choose_ports(None, PREFERRED)
        kept = self._wanted / PORTS
        earlier: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            earlier = json.loads(kept.read_text())
        ports = choose_ports(PREFERRED | earlier, PREFERRED)
        kept.write_text(json.dumps(ports))
        return ports

    def _launch(self, daemon: Daemon) -> None:
        with self._guard:
            if self._stopping.is_set():
                raise SandboxProblem("the sandbox is being stopped")
            daemon.start()
            self._restarts.started(daemon.spec.name, time.monotonic())
            self._record()

    def _watch(self) -> None:
        """Start again what ended by itself, as systemd's Restart=on-failure does."""
        while not self._stopping.wait(WATCH_SECONDS):
            for name, daemon in self.daemons.items():
                with self._guard:
                    status = None if name in self._held else daemon.ended()
                    if status is not None and self._restarts.due(name, time.monotonic()):
                        self._report(f"{name} ended with status {status}; starting it again")
                        self._launch(daemon)

    def _record(self) -> None:
        records = {name: daemon.record() for name, daemon in self.daemons.items()}
        running = {
            "domain": self.domain,
            "root": str(self._place.root) if self._place.temporary else "",
            "ports": self.ports,
            "config": str(self.layout.config),
            "postfix": str(self.layout.postfix),
            "dovecot": str(self.layout.dovecot),
            "logs": str(self.layout.logs),
            "sockets": str(self.layout.sockets),
            "metrics": {name: str(self.layout.metrics_socket(name)) for name in METERED},
            "processes": {name: asdict(record) for name, record in records.items() if record},
        }
        draft = self._wanted / f"{RECORD}.new"
        draft.write_text(json.dumps(running, indent=1))
        draft.replace(self._wanted / RECORD)


class Restarts:
    """When a daemon that ended may be started again. Times are in seconds of one clock."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def started(self, name: str, now: float) -> None:
        """Note a start."""
        self._started[name] = now

    def due(self, name: str, now: float) -> bool:
        """Whether it may be started now, counting this as one more failure if so.

        The wait doubles while it keeps failing at once.
        """
        lasted = now - self._started[name]
        failures = self._failures.get(name, 0) if lasted < STEADY_SECONDS else 0
        if lasted < min(RESTART_SECONDS * 2**failures, RESTART_SECONDS_AT_MOST):
            return False
        self._failures[name] = failures + 1
        return True


def check_programs() -> None:
    """Raises SandboxProblem, with the remedy, where this process cannot run a sandbox."""
    if os.geteuid() != 0:
        raise SandboxProblem("Postfix must be started by root, also in a private place: use sudo.")
    programs = ("postfix", "dovecot")
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise SandboxProblem(f"not installed: {', '.join(missing)}. scripts/run installs them.")
    try:
        dovecot.installed()
    except dovecot.UnknownDovecot as error:
        raise SandboxProblem(str(error)) from None


def end_leftovers(directory: Path, report: Report = lambda _text: None) -> None:
    """End what a sandbox that was killed left running; its directory's lock must be ours."""
    try:
        record = json.loads((directory / RECORD).read_text())
    except (FileNotFoundError, ValueError):
        return
    for name, fields in record["processes"].items():
        if end_leftover(Leftover(**fields)):
            report(f"ended {name} of an earlier sandbox")
    if record["root"]:
        shutil.rmtree(record["root"], ignore_errors=True)


def remove_abandoned(directory: Path, pattern: str) -> None:
    """End and delete sandboxes below `directory` whose process is no more."""
    for path in directory.glob(pattern):
        with contextlib.suppress(SandboxProblem):
            held = lock(path)
            end_leftovers(path)
            shutil.rmtree(path, ignore_errors=True)
            os.close(held)
