"""Real Postfix → filter → real Postfix, beside real Postfix → pass-through proxy → real Postfix.

One private Postfix has a service for each of the two, configured like the relay's submission
service but without TLS and login, and the reinject service as a relay has it. It discards all
messages. The two are loaded in turns, so that anything that slows the machine slows both.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.figures import Figures, Ratio, ratio
from bench.filter.grid import SIZES
from bench.filter.stand import Server, Stand, free_port
from bench.problem import BenchProblem
from postern.host.rendering import render
from sandbox.probes import greets
from sandbox.problem import SandboxProblem
from sandbox.process import Daemon, Spec

AT_A_TIME = 8
TURNS = 4
_QUEUE = "postfix/queue"
_QUEUE_SECONDS = 60.0
_MAX_PROCESSES = 100
_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/log
maillog_file_prefixes = {root}, /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = localhost
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
default_transport = discard:
message_size_limit = 31457280
smtpd_peername_lookup = no
notify_classes =
"""
_FILTERED = """\
127.0.0.1:{port} inet n - n - {processes} smtpd
  -o smtpd_relay_restrictions=permit_mynetworks,reject
  -o smtpd_proxy_filter=127.0.0.1:{proxy}
  -o smtpd_proxy_options=speed_adjust
  -o smtpd_client_connection_count_limit=0
"""
_SERVICES = """\
cleanup   unix  n  -  n  -      0  cleanup
qmgr      unix  n  -  n  300    1  qmgr
rewrite   unix  -  -  n  -      -  trivial-rewrite
bounce    unix  -  -  n  -      0  bounce
defer     unix  -  -  n  -      0  bounce
trace     unix  -  -  n  -      0  bounce
proxymap  unix  -  -  n  -      -  proxymap
error     unix  -  -  n  -      -  error
retry     unix  -  -  n  -      -  error
discard   unix  -  -  n  -      -  discard
anvil     unix  -  -  n  -      1  anvil
postlog   unix-dgram n - n  -      1  postlogd
"""


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of one size through both chains; an item per round."""

    size: str
    filtered: list[Figures]
    passed: list[Figures]

    @property
    def ratio(self) -> Ratio:
        """Messages per second through the filter, as a part of the pass-through proxy's."""
        return ratio(*(_rates(rounds) for rounds in (self.filtered, self.passed)))


def _rates(rounds: list[Figures]) -> list[float]:
    return [figures.messages_per_s for figures in rounds]


def obstacle() -> str:
    """Return why Postfix cannot be started here and what to do; empty if it can."""
    if os.geteuid() != 0:
        return "Postfix must be started by root, also in a private place: use sudo."
    if shutil.which("postfix") is None:
        return "Postfix is not installed; scripts/bench installs it."
    return ""


def measure(stand: Stand, sizes: list[str], seconds: float, rounds: int) -> list[Chain]:
    """Measure both chains with each size; raises BenchProblem where there is an obstacle."""
    with _chains(stand) as (by_filter, by_forwarder):
        return [_in_turns(stand, by_filter, by_forwarder, s, seconds, rounds) for s in sizes]


def _in_turns(
    stand: Stand, by_filter: Server, by_forwarder: Server, size: str, seconds: float, rounds: int
) -> Chain:
    chain = Chain(size=size, filtered=[], passed=[])
    for _ in range(rounds):
        filtered, passed = stand.load_in_turns(
            SIZES[size],
            [by_filter, by_forwarder],
            at_a_time=AT_A_TIME,
            seconds=seconds,
            turns=TURNS,
        )
        chain.filtered.append(filtered)
        chain.passed.append(passed)
        # Messages that are still being delivered would slow the next round.
        wait_for_empty_queue(stand.directory / _QUEUE)
    return chain


def wait_for_empty_queue(queue: Path) -> None:
    """Wait until Postfix has delivered everything; raises BenchProblem if it does not."""
    deadline = time.monotonic() + _QUEUE_SECONDS
    while any(
        path.is_file() for name in ("incoming", "active") for path in (queue / name).rglob("*")
    ):
        if time.monotonic() > deadline:
            raise BenchProblem("Postfix does not get its queue delivered")
        time.sleep(0.05)


@contextlib.contextmanager
def _chains(stand: Stand) -> Iterator[tuple[Server, Server]]:
    """Both chains: the port that takes messages, and the meter of the proxy within."""
    reinject, by_filter, by_forwarder = free_port(), free_port(), free_port()
    filter_port, forwarder_port = free_port(), free_port()
    services = {by_filter: filter_port, by_forwarder: forwarder_port}
    with (
        private_postfix(stand.directory / "postfix", reinject, services),
        stand.filter(reinject, filter_port) as tested,
        stand.forwarder(reinject, forwarder_port) as forwarder,
    ):
        yield (
            Server(by_filter, tested.meter, tested.kill),
            Server(by_forwarder, forwarder.meter, forwarder.kill),
        )


@contextlib.contextmanager
def private_postfix(root: Path, reinject: int, services: dict[int, int]) -> Iterator[None]:
    """Run a Postfix in `root`; `services` has the port of each, and that of its proxy.

    Raises BenchProblem if it does not start.
    """
    _write_files(root, reinject, services)
    probes = [greets(port, b"220 ") for port in (*services, reinject)]
    command = ("postfix", "-c", str(root / "config"))
    daemon = Daemon(
        Spec(
            name="postfix",
            command=(*command, "start-fg"),
            stop_command=(*command, "stop"),
            address="",
            log=root / "log",
            probe=lambda: all(probe() for probe in probes),
        )
    )
    daemon.start()
    try:
        daemon.wait_until_it_answers()
        yield
    except SandboxProblem as problem:
        raise BenchProblem(str(problem)) from None
    finally:
        daemon.ask_to_stop()
        daemon.wait_until_stopped()


def _write_files(root: Path, reinject: int, services: dict[int, int]) -> None:
    for directory in (root, root / "config", root / "queue", root / "data"):
        directory.mkdir(mode=0o755)
    shutil.chown(root / "data", "postfix", "postfix")
    (root / "config/main.cf").write_text(_MAIN.format(root=root))
    filtered = "".join(
        _FILTERED.format(port=port, proxy=proxy, processes=_MAX_PROCESSES)
        for port, proxy in services.items()
    )
    values = {
        "postfix_reinject_port": reinject,
        "postfix_reinject_port_incoming": free_port(),
        "max_smtp_connections": _MAX_PROCESSES,
    }
    reinjecting = render("postfix/hookup-reinject.cf", values)
    (root / "config/master.cf").write_text(filtered + reinjecting + _SERVICES)
