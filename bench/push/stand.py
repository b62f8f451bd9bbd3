"""The stand: mailboxes with a push token each, and the metadata service that serves them."""

import contextlib
import json
import os
import pwd
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.problem import BenchProblem
from bench.process import Meter, started, wait_until
from metadata.push.queue import FILE
from metadata.push.table import PushTable
from relay.mailbox.directory import ENFORCE, METADATA, prepare_root
from relay.owner import Owner

DOMAIN = "relay.example"
TOKEN_OCTETS = 300
"""About what an encrypted token of a phone has."""
_CONFIG = """\
[params]
mail_domain = {domain}
mailboxes_dir = {directory}/mail
mailboxes_user = {user}
push_gateway = {gateway}
"""


class Stand:
    """A directory with mailboxes, and what can be started in it."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "notify.socket"
        self._directory = directory
        self._state = directory / "state"
        self._mail = directory / "mail"
        prepare_root(self._mail, Owner(os.geteuid(), os.getegid()))

    def mailboxes(self, kind: str, count: int) -> list[str]:
        """Make so many addresses with a token each; `kind` begins their names."""
        users = [f"{kind}{number:06d}@{DOMAIN}" for number in range(count)]
        now = int(time.time())
        for user in users:
            # As an account has it: the nudge for sleeping sessions is part of each delivery.
            (self._mail / user / "new").mkdir(parents=True)
            (self._mail / user / ENFORCE).touch()
            self.set_tokens(user, [token_of(user)], now)
        return users

    def set_tokens(self, user: str, tokens: Sequence[str], now: int | None = None) -> None:
        """Have a mailbox hold these tokens and no others, whole at any moment."""
        times = dict.fromkeys(tokens, int(time.time()) if now is None else now)
        draft = self._mail / user / f"{METADATA}.new"
        draft.write_text(json.dumps({"devicetoken": times}))
        draft.rename(self._mail / user / METADATA)

    def owe(self, users: Sequence[str], oldest: float) -> None:
        """Put a push for each into the queue, from `oldest` seconds ago until now."""
        self._state.mkdir(exist_ok=True)
        table = PushTable.on_disk(self._state / FILE)
        now = time.time()
        table.begin()
        for number, user in enumerate(users):
            table.add(user, [token_of(user)], now - oldest * (1 - number / len(users)))
        table.commit()
        table.close()

    @contextlib.contextmanager
    def metadata(self, gateway: str) -> Iterator[Meter]:
        """The service, running and answering; raises BenchProblem."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        config = self._directory / "chatmail.ini"
        config.write_text(
            _CONFIG.format(domain=DOMAIN, directory=self._directory, user=user, gateway=gateway)
        )
        log = self._directory / "metadata.log"
        arguments = ["-m", "metadata", "--config", str(config), "--log-level", "ERROR"]
        arguments += ["--socket", str(self._directory / "metadata.socket")]
        arguments += ["--notify-socket", str(self.socket), "--state", str(self._state)]
        with started(arguments, log) as process:
            wait_until(lambda: _answers(self.socket), process, "metadata", log)
            yield Meter(process.pid)


def token_of(user: str) -> str:
    """The token that the mailbox of `user` has."""
    return f"openpgp:{user}:".ljust(TOKEN_OCTETS, "x")


@contextlib.contextmanager
def stand() -> Iterator[Stand]:
    """A stand in a directory that vanishes with it; raises BenchProblem."""
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as name:
        try:
            yield Stand(Path(name))
        except OSError as error:
            raise BenchProblem(f"the stand cannot be set up: {error}") from None


def _answers(path: Path) -> bool:
    """Whether the service has taken note of a message, for nobody."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.settimeout(1)
        probe.connect(str(path))
        probe.sendall(b"H3\t2\t0\t\tmetadata\nB1\t\nS1\tpriv/0/messagenew\t\nC1\n")
        return probe.recv(16) == b"O1\n"
    return False
