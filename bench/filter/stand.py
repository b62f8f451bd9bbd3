"""The stand: the processes of the filter's benchmark, and the loads sent through them."""

import contextlib
import signal
import smtplib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.base import HERE, Checkout
from bench.figures import Figures, figures
from bench.filter.load import BEGUN, Order, Sent
from bench.filter.messages import message
from bench.problem import BenchProblem
from bench.process import ROOT, Meter, started, wait_until
from relay.mailbox.directory import MARK
from sandbox.ports import LOOPBACK, choose_ports
from sandbox.probes import greets
from sandbox.process import tail

_CONFIG = """\
[params]
mail_domain = {domain}
max_user_send_per_minute = 60000000
max_user_send_burst_size = 10000000
filtermail_smtp_port{side} = {port}
postfix_reinject_port{side} = {reinject}
mailboxes_dir = {directory}/mail
"""
GRACE_SECONDS = 120.0
"""How long after its end a load may take for the messages under way."""


class Server:
    """A process that takes messages on a loopback port."""

    def __init__(self, port: int, meter: Meter, kill: Callable[[], None]) -> None:
        self.port = port
        self.meter = meter
        self.kill = kill


class Stand:
    """A directory with the messages to send; starts the processes of a measurement in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._log = directory / "log"

    def letter(self, size: int) -> Path:
        """The file with a message of `size` octets."""
        path = self.directory / f"{size}.eml"
        if not path.exists():
            path.write_bytes(message(size))
        return path

    @contextlib.contextmanager
    def sink(self) -> Iterator[Server]:
        """A null sink."""
        port = free_port()
        with self._server(["-m", "bench.filter.sink", str(port)], port) as server:
            yield server

    @contextlib.contextmanager
    def forwarder(self, target: int, port: int | None = None) -> Iterator[Server]:
        """A pass-through proxy to `target`, which must be up; on a free port by default."""
        port = port or free_port()
        with self._server(["-m", "bench.filter.forwarder", str(port), str(target)], port) as server:
            yield server

    @contextlib.contextmanager
    def filter(
        self,
        reinject: int,
        port: int | None = None,
        code: Checkout = HERE,
        *,
        incoming: bool = False,
    ) -> Iterator[Server]:
        """The filter of a checkout, by its command line; outgoing and on a free port by default.

        For the incoming one, those whom the messages are to are not of its domain.
        """
        port = port or free_port()
        config = self.directory / f"chatmail-{port}.ini"
        mailboxes = self.directory / "mail"
        mailboxes.mkdir(exist_ok=True)
        (mailboxes / MARK).touch()
        config.write_text(
            _CONFIG.format(
                domain="here.example" if incoming else "relay.example",
                side="_incoming" if incoming else "",
                port=port,
                reinject=reinject,
                directory=self.directory,
            )
        )
        direction = "incoming" if incoming else "outgoing"
        arguments = ["-m", "filtermail", direction, "--config", str(config)]
        with self._server(arguments, port, code.root) as server:
            yield server

    @contextlib.contextmanager
    def _server(self, arguments: list[str], port: int, root: Path = ROOT) -> Iterator[Server]:
        with started(arguments, self._log, root) as process:
            wait_until(greets(port, b"220 "), process, " ".join(arguments), self._log)
            yield Server(port, Meter(process.pid), process.kill)

    @contextlib.contextmanager
    def sending(self, order: Order) -> Iterator[subprocess.Popen[bytes]]:
        """A load under way, once it has begun; `finish` gives its result."""
        arguments = ["-m", "bench.filter.load", msgspec.json.encode(order).decode()]
        with started(arguments, self._log) as process:
            assert process.stdout is not None
            if process.stdout.readline().strip() != BEGUN.encode():
                raise BenchProblem(f"the load generator did not start:\n{tail(self._log)}")
            yield process

    def finish(self, process: subprocess.Popen[bytes], order: Order) -> list[Sent]:
        """Wait for the end of a load; raises BenchProblem if a message was not accepted."""
        seconds = order.seconds * len(order.ports)
        try:
            output, _ = process.communicate(timeout=seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchProblem(f"a load of {order.at_a_time} at a time does not end") from None
        if process.returncode:
            raise BenchProblem(f"a load failed:\n{tail(self._log)}")
        return msgspec.json.decode(output, type=list[Sent])

    def stop(self, process: subprocess.Popen[bytes], order: Order) -> list[Sent]:
        """End a load before its time."""
        process.send_signal(signal.SIGTERM)
        return self.finish(process, order)

    def load(self, size: int, target: Server, **options: float) -> Figures:
        """Send messages of `size` to `target`; `options` are the rest of an `Order`."""
        (figures,) = self.load_in_turns(size, [target], **options)
        return figures

    def load_in_turns(
        self, size: int, targets: Sequence[Server], **options: float
    ) -> list[Figures]:
        """Send messages of `size` to each of `targets`, which do nothing else meanwhile."""
        order = self.order(size, targets, **options)
        before = [target.meter.cpu() for target in targets]
        with self.sending(order) as process:
            results = self.finish(process, order)
        cpu = [target.meter.cpu() - then for target, then in zip(targets, before, strict=True)]
        return [summed_up(sent, size, spent) for sent, spent in zip(results, cpu, strict=True)]

    def order(self, size: int, targets: Sequence[Server], **options: float) -> Order:
        """Return the order for a load generator."""
        ports = [target.port for target in targets]
        values = {"ports": ports, "message": str(self.letter(size)), **options}
        return msgspec.convert(values, Order)


def summed_up(sent: Sent, size: int, cpu: float) -> Figures:
    """The figures of a load; `cpu` is the target's processor time in seconds."""
    return figures(sent.latencies, size, sent.seconds, cpu, sent.cpu)


def arrived(sink: Server) -> tuple[int, int]:
    """How many messages, and octets of them, a sink has taken."""
    with smtplib.SMTP(LOOPBACK, sink.port) as client:
        _, text = client.docmd("XCOUNT")
    messages, octets = text.split()
    return int(messages), int(octets)


def free_port() -> int:
    """A port to listen on."""
    return choose_ports(None, ["any"])["any"]


@contextlib.contextmanager
def stand() -> Iterator[Stand]:
    """A stand in a temporary directory, which Postfix' user may enter."""
    # Not in /tmp, which is often memory: Postfix' queue files belong on a disk.
    with tempfile.TemporaryDirectory(prefix="postern-bench-", dir="/var/tmp") as path:
        directory = Path(path)
        directory.chmod(0o711)
        yield Stand(directory)
