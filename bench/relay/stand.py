"""A sandbox to load: without the limits that stop one client, with accounts that are there."""

import contextlib
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.problem import BenchProblem
from doveauth.hashing import hash_password, new_salt
from relay.mailbox.directory import Mailbox
from relay.owner import Owner
from sandbox.layout import MAILBOXES_USER, Layout
from sandbox.login import Login
from sandbox.problem import SandboxProblem
from sandbox.relay import Sandbox

PASSWORD = "bench-password-22-long"  # noqa: S105 - of accounts that live as long as the sandbox
Adapt = Callable[[Layout], None]
_LIMITS = """
max_user_send_per_minute = 60000000
max_user_send_burst_size = 10000000
max_creations_per_hour_per_network = 1000000
"""


@contextlib.contextmanager
def relay(adapt: Adapt = lambda _layout: None) -> Iterator[Sandbox]:
    """A relay in a temporary directory; raises BenchProblem."""

    def unlimited(layout: Layout) -> None:
        with layout.config.open("a") as config:
            config.write(_LIMITS)
        adapt(layout)

    with tempfile.TemporaryDirectory(prefix="postern-bench-") as directory:
        try:
            with Sandbox(Path(directory) / "relay", adapt=unlimited) as sandbox:
                yield sandbox
        except (SandboxProblem, TimeoutError, OSError) as problem:
            raise BenchProblem(f"{type(problem).__name__}: {problem}") from None


def accounts(sandbox: Sandbox, count: int) -> list[Login]:
    """So many new accounts, made in the file system."""
    owner, password_hash = Owner.named(MAILBOXES_USER), hash_password(PASSWORD, new_salt())
    logins = [fresh(sandbox) for _ in range(count)]
    for login in logins:
        Mailbox(sandbox.layout.mail / login.address).create(password_hash, owner, int(time.time()))
    return logins


def fresh(sandbox: Sandbox) -> Login:
    """A login without an account."""
    return Login(f"{secrets.token_hex(5)[:9]}@{sandbox.domain}", PASSWORD)
