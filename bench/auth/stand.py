"""The stand: a relay's directory full of accounts, and the doveauth that serves it."""

import contextlib
import os
import pwd
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.problem import BenchProblem
from bench.process import Meter, started, wait_until
from doveauth.hashing import hash_password, new_salt
from relay.mailbox.directory import Mailbox, prepare_root
from relay.owner import Owner

DOMAIN = "relay.example"
PASSWORD = "a password of all"  # noqa: S105 - of accounts that live as long as the benchmark
MAILBOXES_USER = "mail"
_CONFIG = """\
[params]
mail_domain = {domain}
mailboxes_dir = {directory}/mail
mailboxes_user = {user}
nocreate_path = {directory}/nocreate
registration_state_dir = {directory}/state
max_load_1m = 1000
min_available_memory = 1M
min_free_disk_space = 1M
max_creations_per_hour_per_network = 1000000
"""


class Stand:
    """A directory with accounts, and what can be started in it."""

    def __init__(self, directory: Path, accounts: int) -> None:
        self.directory = directory
        self.accounts = [f"u{number:08d}@{DOMAIN}" for number in range(accounts)]
        self.lookups = directory / "lookups"
        self.last_login = directory / "last-login"
        self._config = directory / "chatmail.ini"
        self._fill()

    def _fill(self) -> None:
        user = MAILBOXES_USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._config.write_text(_CONFIG.format(domain=DOMAIN, directory=self.directory, user=user))
        owner = Owner.named(user)
        prepare_root(self.directory / "mail", owner)
        # One hash for all: what is measured does not depend on it.
        password_hash = hash_password(PASSWORD, new_salt())
        for name in self.accounts:
            Mailbox(self.directory / "mail" / name).create(password_hash, owner, int(time.time()))

    @contextlib.contextmanager
    def doveauth(self) -> Iterator[Meter]:
        """A running doveauth; raises BenchProblem."""
        log = self.directory / "doveauth.log"
        sockets = (self.lookups, self.last_login)
        arguments = ["-m", "doveauth", "--config", str(self._config), "--log-level", "WARNING"]
        for path in sockets:
            arguments += [f"--{path.name}-socket", str(path)]
        with started(arguments, log) as process:
            wait_until(lambda: all(map(_connects, sockets)), process, "doveauth", log)
            yield Meter(process.pid)


@contextlib.contextmanager
def stand(accounts: int) -> Iterator[Stand]:
    """A stand with so many accounts, in a directory that vanishes with it; raises BenchProblem."""
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as name:
        # Dovecot's processes, which are not root, reach the sockets in it.
        Path(name).chmod(0o755)
        try:
            yield Stand(Path(name), accounts)
        except OSError as error:
            raise BenchProblem(f"the stand cannot be set up: {error}") from None


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False
