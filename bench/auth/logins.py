"""IMAP logins at a real Dovecot, some of whose answers from doveauth are slow.

The relay is a sandbox, whole and unchanged but for the name of doveauth's socket: there a
forwarder stands that holds back the answers for some names. Whose they are is in the name, so
that it is known which logins are slow and which are the others.
"""

import asyncio
import contextlib
import itertools
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import uvloop

from bench.auth.asking import Answered, answered
from bench.auth.forwarder import Forwarder
from bench.auth.stand import PASSWORD
from bench.problem import BenchProblem
from doveauth.hashing import hash_password, new_salt
from postern.host import dovecot
from relay.mailbox.directory import Mailbox
from relay.owner import Owner
from sandbox.layout import MAILBOXES_USER
from sandbox.ports import LOOPBACK
from sandbox.problem import SandboxProblem
from sandbox.relay import Sandbox

SLOW = "slow"
"""What the names of those begin with who are held back."""
EVERY = 20
"""One login in so many is."""
PER_MINUTE = 1000.0
RELOAD_SECONDS = 2.0
LOGIN_SECONDS = 60.0
"""A login that takes longer is a problem."""


class Logins(msgspec.Struct, frozen=True, kw_only=True):
    """What they came to; latencies are from LOGIN to its OK."""

    dovecot: str
    others: Answered
    slow: Answered


def obstacle() -> str:
    """Why there can be no logins here; empty where there can."""
    if os.geteuid() != 0:
        return "Dovecot and Postfix start as root only"
    try:
        dovecot.installed()
    except dovecot.UnknownDovecot as error:
        return str(error)
    return ""


def measure(count: int) -> Logins:
    """So many logins; raises BenchProblem."""
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as name:
        try:
            with Sandbox(Path(name) / "relay") as sandbox:
                names = _make_accounts(sandbox, count)
                with _slowed(sandbox):
                    return uvloop.run(_drive(sandbox, names))
        except SandboxProblem as problem:
            raise BenchProblem(str(problem)) from None


def _make_accounts(sandbox: Sandbox, count: int) -> list[str]:
    owner, password_hash = Owner.named(MAILBOXES_USER), hash_password(PASSWORD, new_salt())
    names = []
    for number in range(count):
        kind = SLOW if number % EVERY == EVERY // 2 else "user"
        name = f"{kind}{number:05d}@{sandbox.domain}"
        Mailbox(sandbox.layout.mail / name).create(password_hash, owner, int(time.time()))
        names.append(name)
    return names


@contextlib.contextmanager
def _slowed(sandbox: Sandbox) -> Iterator[None]:
    """Let Dovecot ask the forwarder in place of doveauth."""
    upstream = sandbox.layout.sockets / "lookups.socket"
    path = sandbox.layout.sockets / "slowed.socket"
    with Forwarder(path, upstream, SLOW):
        conf, lua = (sandbox.layout.dovecot / name for name in ("dovecot.conf", "doveauth.lua"))
        lua.write_text(lua.read_text().replace(str(upstream), str(path)))
        subprocess.run(["doveadm", "-c", str(conf), "reload"], check=True)  # noqa: S603, S607 - Dovecot's own
        # Processes that began with the old file have left by then.
        time.sleep(RELOAD_SECONDS)
        yield


async def _drive(sandbox: Sandbox, names: Sequence[str]) -> Logins:
    """A login every so often, whether or not those before have been answered."""
    began, tasks = time.perf_counter(), []
    # Dovecot's processes are started by the first who come, and those are not counted.
    await asyncio.gather(*(_login(sandbox, name) for name in names[:5]))
    for number, name in enumerate(names[5:]):
        due = began + number * 60 / PER_MINUTE
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        tasks.append(asyncio.ensure_future(_login(sandbox, name)))
    latencies = await asyncio.gather(*tasks)
    seconds = time.perf_counter() - began
    is_slow = [name.startswith(SLOW) for name in names[5:]]
    return Logins(
        dovecot=dovecot.installed(),
        others=answered(itertools.compress(latencies, (not slow for slow in is_slow)), seconds),
        slow=answered(itertools.compress(latencies, is_slow), seconds),
    )


async def _login(sandbox: Sandbox, name: str) -> float:
    """Seconds from LOGIN to OK."""
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(LOGIN_SECONDS):
        reader, writer = await asyncio.open_connection(
            LOOPBACK, sandbox.ports["imaps"], ssl=unverified
        )
        try:
            await reader.readline()
            began = time.perf_counter()
            writer.write(f'a LOGIN "{name}" "{PASSWORD}"\r\n'.encode())
            while not (line := await reader.readline()).startswith(b"a "):
                if not line:
                    break
            took = time.perf_counter() - began
        finally:
            writer.close()
    if not line.startswith(b"a OK"):
        raise BenchProblem(f"a login was answered {line[:80]!r}")
    return took
