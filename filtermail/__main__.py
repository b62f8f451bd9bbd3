"""`python -m filtermail outgoing|incoming --config FILE`."""

import functools
import sys
from pathlib import Path

from filtermail.daemon import HOST, run
from filtermail.gate.grammar import Direction
from relay.config import Config
from relay.life import service
from relay.life.metrics import METRICS
from relay.life.sockets import open_unix


def main() -> int:
    """Run one filtermail instance; the exit code."""
    parser = service.parser(
        "filtermail",
        "The before-queue SMTP proxy of a chatmail relay: passes end-to-end encrypted messages "
        "on to Postfix' reinject service, and refuses all others with 523.",
    )
    parser.add_argument(
        "direction",
        choices=[direction.value for direction in Direction],
        help="outgoing: what the relay's users send (filtermail_smtp_port); "
        "incoming: what comes for them (filtermail_smtp_port_incoming)",
    )
    parser.add_argument(
        f"--{METRICS}",
        type=Path,
        metavar="PATH",
        help="where Prometheus reads figures (default: systemd's socket)",
    )
    arguments = parser.parse_args()
    direction = Direction(arguments.direction)

    def listen(config: Config) -> service.Listeners:
        outgoing = direction is Direction.OUTGOING
        port = config.filtermail_smtp_port if outgoing else config.filtermail_smtp_port_incoming
        listeners = service.tcp_listener("smtp", HOST, port)
        if METRICS not in listeners and arguments.metrics_socket:
            listeners[METRICS] = open_unix(arguments.metrics_socket, service.owner_of(config))
        return listeners

    name = f"filtermail {direction.value}"
    return service.main(arguments, listen, functools.partial(run, direction), name)


if __name__ == "__main__":
    sys.exit(main())
