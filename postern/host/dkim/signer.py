"""The running signer: has it read its tables again after a change."""

import subprocess

from postern.host.dkim.directory import SIGNER

COMMANDS = (
    ("systemctl", "reload", SIGNER),
    # A connection keeps the key that it began with, and filtermail keeps connections. Its socket is
    # systemd's, so that nobody is refused meanwhile.
    ("systemctl", "try-restart", "filtermail@outgoing.service"),
)
"""What makes all mail from now on be signed by the key that KeyTable names."""


class NotReloaded(Exception):
    """The signer may still use what it read before; the message says what to run."""


def reload_signer() -> None:
    """Have new mail signed as KeyTable says now, without losing any; raises NotReloaded."""
    for command in COMMANDS:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            failure = done.stderr.strip() or "no reason given" if done.returncode else ""
        except OSError as error:
            failure = str(error)
        if failure:
            commands = " && ".join(" ".join(each) for each in COMMANDS)
            raise NotReloaded(
                f"the signer does not reload ({failure}). Its tables are right and nothing is "
                f"lost; once it runs: {commands}"
            )
