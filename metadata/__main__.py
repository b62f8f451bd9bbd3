"""`python -m metadata`: the command line of the metadata service."""

import sys
from functools import partial
from pathlib import Path

from metadata.daemon import NOTIFY, OPTIONAL, SOCKET, run
from relay.config import Config
from relay.life.metrics import METRICS
from relay.life.service import Listeners, main, parser, unix_listeners


def command() -> int:
    """Read the command line and serve. Return the exit code."""
    arguments = parser("metadata", "Answer IMAP METADATA for Dovecot and push to phones.")
    arguments.add_argument(
        f"--{SOCKET}",
        type=Path,
        metavar="PATH",
        help="listen here for METADATA (default: systemd's socket)",
    )
    arguments.add_argument(
        f"--{NOTIFY}",
        type=Path,
        metavar="PATH",
        help="listen here for reports of deliveries (default: systemd's socket)",
    )
    arguments.add_argument(
        f"--{METRICS}",
        type=Path,
        metavar="PATH",
        help="listen here for Prometheus (default: systemd's socket)",
    )
    arguments.add_argument(
        "--state",
        type=Path,
        required=True,
        metavar="DIR",
        help="where pushes wait that are not delivered yet; made if missing",
    )
    chosen = arguments.parse_args()

    def listen(config: Config) -> Listeners:
        paths = {
            SOCKET: chosen.socket,
            NOTIFY: chosen.notify_socket,
            METRICS: chosen.metrics_socket,
        }
        return unix_listeners(config, paths, OPTIONAL)

    return main(chosen, listen, partial(run, state=chosen.state), "metadata")


if __name__ == "__main__":
    sys.exit(command())
