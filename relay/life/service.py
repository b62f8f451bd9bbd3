"""The life cycle that every daemon shares: start, tell systemd, run, drain, end.

A daemon is a coroutine function `run(listeners, config, shutdown)` without any knowledge of
signals or of systemd; this module is the only one with it (sd_notify(3), systemd.service(5)).
"""

import argparse
import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, NoReturn

import uvloop

from relay import log as logs
from relay.config import Config, ConfigError, read_config
from relay.life.sockets import FIRST_FD, SocketUnavailable, from_systemd, open_tcp, open_unix
from relay.owner import Owner

log = logging.getLogger(__name__)

EXIT_CONFIG = 78
"""EX_CONFIG of sysexits(3): starting again does not help."""
EXIT_FAILURE = 1
GC_THRESHOLD = 10_000
"""Objects, in place of 700; they take a megabyte or two."""

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Those that have handlers."""

Listeners = dict[str, socket.socket]
Run = Callable[[Listeners, Config, asyncio.Event], Coroutine[Any, Any, None]]


class Unstartable(Exception):
    """The daemon cannot start; the message is for the operator and names the mend."""


def parser(name: str, purpose: str) -> argparse.ArgumentParser:
    """The command line that all daemons share; a daemon adds its own arguments."""
    result = argparse.ArgumentParser(prog=f"python -m {name}", description=purpose)
    result.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the relay's chatmail.ini"
    )
    result.add_argument(
        "--log-level",
        default="INFO",
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
        help="DEBUG shows addresses: do not leave it on (default: %(default)s)",
    )
    return result


def unix_listeners(
    config: Config, paths: dict[str, Path | None], optional: Collection[str] = ()
) -> Listeners:
    """Named unix sockets, from systemd or opened at `paths`; raises Unstartable.

    Those in `optional` are left out where neither has them.
    """
    listeners = from_systemd(os.environ)
    owner = owner_of(config)
    for name, path in paths.items():
        if name in listeners:
            if path is not None:
                _warn_if_elsewhere(name, listeners[name], str(path))
            continue
        if path is None and name in optional:
            continue
        if path is None:
            raise Unstartable(f"no {name}: give --{name} PATH, or start from its systemd socket")
        listeners[name] = open_unix(path, owner)
    return listeners


def tcp_listener(name: str, host: str, port: int) -> Listeners:
    """A TCP port by its name, from systemd or opened here; raises SocketUnavailable."""
    listeners = from_systemd(os.environ)
    if not listeners:
        return {name: open_tcp(host, port)}
    if name in listeners:
        _warn_if_elsewhere(name, listeners[name], f"{host}:{port}")
    return listeners


def _warn_if_elsewhere(name: str, listener: socket.socket, wanted: str) -> None:
    """Say that a socket which was passed in, or kept by a reload, is not the configured one."""
    if _where(listener) != wanted:
        log.warning(
            "%s listens on %s and not on %s: change its systemd socket, or restart; a reload "
            "keeps sockets",
            name,
            _where(listener),
            wanted,
        )


def owner_of(config: Config) -> Owner:
    """Return the owner of mailboxes: the configured user where we run as root, else ourselves."""
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid())
    try:
        return Owner.named(config.mailboxes_user)
    except LookupError as error:
        raise Unstartable(str(error)) from None


def main(
    arguments: argparse.Namespace, listen: Callable[[Config], Listeners], run: Run, name: str
) -> int:
    """Run a daemon until SIGTERM or SIGINT. Return the process's exit code."""
    # Signals wait wherever no handler is in place: before the loop runs, and from the end of one
    # until the next, across exec, which keeps mask and pending signals (execve(2)). By default
    # SIGHUP would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    logs.setup(arguments.log_level)
    # Each connection is a descriptor; the soft limit is for programs that use select(2).
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        config = read_config(arguments.config)
        listeners = listen(config)
        kept = {label: listener.dup() for label, listener in listeners.items()}
        _collect_seldom()
        if uvloop.run(_supervise(name, listeners, arguments.config, config, run)):
            _begin_again(kept)
    except ConfigError as error:
        log.critical("%s", error)
        return EXIT_CONFIG
    except (SocketUnavailable, Unstartable) as error:
        log.critical("%s", error)
        return EXIT_FAILURE
    return 0


def _collect_seldom() -> None:
    """Collect rarely, and only young objects: collection took 5 % of the CPU.

    Imported modules stay, and reference counts free most of what a request leaves behind.
    """
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


async def _supervise(name: str, listeners: Listeners, path: Path, config: Config, run: Run) -> bool:
    """Run until a signal ends it. Return whether to begin again, which SIGHUP asks for."""
    shutdown, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    logs.setup_loop(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, reload, shutdown)
    loop.add_signal_handler(signal.SIGHUP, _reload, path, reload, shutdown)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    # The sockets listen already: clients that connect before the first accept wait in the backlog.
    task = loop.create_task(run(listeners, config, shutdown))
    watchdog = loop.create_task(_watchdog())
    log.info("%s is up on %s", name, ", ".join(f"{n} {_where(s)}" for n, s in listeners.items()))
    notify("READY=1")
    stopping = loop.create_task(shutdown.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    notify(_reloading() if reload.is_set() else "STOPPING=1")
    stopping.cancel()
    try:
        await task
    finally:
        watchdog.cancel()
        log.info("%s has ended", name)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS if reload.is_set() else {signal.SIGHUP})
    if reload.is_set():
        # A signal that came before may still be on its way to its handler.
        for _ in range(3):
            await asyncio.sleep(0)
    return reload.is_set()


def _end(reload: asyncio.Event, shutdown: asyncio.Event) -> None:
    """End, also where a reload is under way: the later wish counts."""
    reload.clear()
    shutdown.set()


def _reload(path: Path, reload: asyncio.Event, shutdown: asyncio.Event) -> None:
    """Begin again if the configuration can be read; else go on with the one that is in force."""
    if shutdown.is_set():
        return  # it is about to end, or to read the configuration anyway
    try:
        read_config(path)
    except ConfigError as error:
        log.error("the configuration stays as it was: %s", error)  # noqa: TRY400 - foreseen
        return
    reload.set()
    shutdown.set()


def _reloading() -> str:
    # RELOADING=1 with the time of it is for units of Type=notify-reload (sd_notify(3)).
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def _begin_again(listeners: Listeners) -> NoReturn:
    """Become a new process of the same command, in the same pid and with the same sockets.

    Work under way has been finished, and new connections wait in the backlog of a socket that was
    never closed. So a new configuration needs no code that changes objects in flight.
    """
    clear = FIRST_FD + len(listeners)
    high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, clear) for s in listeners.values()]
    for at, descriptor in enumerate(high):
        os.dup2(descriptor, FIRST_FD + at, inheritable=True)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(high))
    os.environ["LISTEN_FDNAMES"] = ":".join(listeners)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves


async def _watchdog() -> None:
    """Report to systemd that the loop turns, twice per WatchdogSec= (sd_watchdog_enabled(3))."""
    period = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    while period:
        notify("WATCHDOG=1")
        await asyncio.sleep(period / 2)


def notify(state: str) -> None:
    """Send `state` to the service manager; without one, nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, contextlib.suppress(OSError):
        channel.connect(address)
        channel.sendall(state.encode())


def _where(listener: socket.socket) -> str:
    name = listener.getsockname()
    return name if isinstance(name, str) else f"{name[0]}:{name[1]}"
