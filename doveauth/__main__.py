"""`python -m doveauth`: the command line of the authentication daemon."""

import sys
from pathlib import Path

from doveauth.daemon import LAST_LOGIN, LOOKUPS, NEW, OPTIONAL, run
from relay.config import Config
from relay.life.metrics import METRICS
from relay.life.service import Listeners, main, parser, unix_listeners


def _main() -> int:
    arguments = parser("doveauth", "Authenticates Dovecot's users, and makes new ones.")
    for name, purpose in (
        (LOOKUPS, "where Dovecot's Lua asks for passwords and users"),
        (LAST_LOGIN, "where Dovecot's last_login plugin writes"),
        (NEW, "where the web server passes POST /new"),
        (METRICS, "where Prometheus reads figures"),
    ):
        arguments.add_argument(
            f"--{name}", type=Path, metavar="PATH", help=f"{purpose} (default: systemd's socket)"
        )
    given = arguments.parse_args()

    def listen(config: Config) -> Listeners:
        paths = {
            LOOKUPS: given.lookups_socket,
            LAST_LOGIN: given.last_login_socket,
            NEW: given.new_socket,
            METRICS: given.metrics_socket,
        }
        return unix_listeners(config, paths, OPTIONAL)

    return main(given, listen, run, "doveauth")


if __name__ == "__main__":
    sys.exit(_main())
