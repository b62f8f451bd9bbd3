"""The four daemons, started as a relay has them and left alone."""

import contextlib
import os
import pwd
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.base import Checkout
from bench.process import Meter, started, wait_until
from sandbox.ports import choose_ports
from sandbox.probes import Probe, answers_dict, greets

DIRECTIONS = ("outgoing", "incoming")
SETTLE_SECONDS = 1.0
"""Between the first answer of a daemon and the measurement."""
_CONFIG = """\
[params]
mail_domain = relay.example
mailboxes_dir = {directory}/mail
mailboxes_user = {user}
nocreate_path = {directory}/nocreate
registration_state_dir = {directory}/state
filtermail_smtp_port = {outgoing}
filtermail_smtp_port_incoming = {incoming}
"""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one daemon at rest, in MB."""

    pss: float
    """Resident, each shared page divided by its users."""
    rss: float


def at_rest(code: Checkout) -> dict[str, Memory]:
    """Start the daemons of a checkout and measure each, by name; raises BenchProblem."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postern-bench-")))
        meters = {
            name: stack.enter_context(_running(name, arguments, probe, directory / "log", code))
            for name, (arguments, probe) in _commands(directory).items()
        }
        time.sleep(SETTLE_SECONDS)
        return {
            name: Memory(pss=meter.proportional(), rss=meter.resident())
            for name, meter in meters.items()
        }


@contextlib.contextmanager
def _running(
    name: str, arguments: list[str], probe: Probe, log: Path, code: Checkout
) -> Iterator[Meter]:
    with started(["-m", *arguments], log, code.root) as process:
        wait_until(probe, process, f"{name} of {code.name}", log)
        yield Meter(process.pid)


def _commands(directory: Path) -> dict[str, tuple[list[str], Probe]]:
    """Arguments and probe of each daemon; every checkout understands these arguments."""
    ports = choose_ports(None, DIRECTIONS)
    config = directory / "chatmail.ini"
    user = pwd.getpwuid(os.geteuid()).pw_name
    config.write_text(_CONFIG.format(directory=directory, user=user, **ports))
    (directory / "mail").mkdir()

    def unix(name: str, sockets: dict[str, str]) -> list[str]:
        arguments = [name, "--config", str(config)]
        for option, file in sockets.items():
            arguments += [f"--{option}", str(directory / file)]
        return arguments

    names = ("auth", "last-login", "lookups", "new")
    its_sockets = {f"{name}-socket": name for name in names}
    doveauth = unix("doveauth", its_sockets | {"metrics-socket": "doveauth-metrics"})
    metadata = unix(
        "metadata",
        {"socket": "metadata", "state": "pushes", "metrics-socket": "metadata-metrics"},
    )
    return {
        **{
            f"filtermail {direction}": (
                ["filtermail", direction, "--config", str(config)],
                greets(ports[direction], b"220 "),
            )
            for direction in DIRECTIONS
        },
        "doveauth": (doveauth, answers_dict(directory / "auth", directory / "last-login")),
        "metadata": (metadata, answers_dict(directory / "metadata")),
    }
