"""A metadata service in trouble holds up no delivery, and owes its pushes all the same."""

import contextlib
import os
import signal
import smtplib
import socket
import time
from collections.abc import Iterator, Sequence

import pytest

from sandbox import arrivals
from sandbox.clients import DEVICE_TOKEN, Imap
from sandbox.login import Login, fresh_login
from sandbox.relay import Sandbox
from tests.e2e.tools import encrypted, register, tell, wait_for_ids

pytestmark = pytest.mark.e2e
BOUND = 5.0
"""Seconds. The promise is one; a machine under load gets more, Dovecot's own time-out is 30."""


def deliver(sandbox: Sandbox, logins: Sequence[Login], message_id: str) -> float:
    """Deliver over LMTP as Postfix does; the seconds from the final dot to the last answer."""
    sender = fresh_login(sandbox.domain)
    with smtplib.LMTP(str(sandbox.layout.run / "lmtp"), timeout=90) as lmtp:
        lmtp.ehlo()
        assert lmtp.mail(sender.address)[0] == 250
        for login in logins:
            assert lmtp.rcpt(login.address)[0] == 250
        begun = time.monotonic()
        # LMTP answers the data once a recipient (RFC 2033, 4.2).
        answers = [lmtp.data(encrypted(sender, message_id))[0]]
        answers += [lmtp.getreply()[0] for _ in logins[1:]]
        assert answers == [250] * len(logins)
        return time.monotonic() - begun


@contextlib.contextmanager
def hanging(sandbox: Sandbox) -> Iterator[None]:
    """The metadata service stopped in its tracks: its socket accepts, and nobody answers."""
    pid = sandbox.daemons["metadata"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_service_that_hangs(sandbox: Sandbox, login: Login) -> None:
    token = f"openpgp:hanging-{login.address}"
    with Imap(sandbox.ports, login) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    # The connection that a delivery makes while all is well must not be what a later one waits on.
    deliver(sandbox, [login], "before")
    arrivals.wait_for_token(sandbox.ports["gateway"], token)
    with hanging(sandbox):
        took = [deliver(sandbox, [login], f"hanging-{number}") for number in range(3)]
    tell(f"with a service that hangs: {', '.join(f'{each:.3f} s' for each in took)}")
    assert max(took) < BOUND
    wait_for_ids(sandbox, login, ["before", "hanging-0", "hanging-1", "hanging-2"])
    # What it was told waited in its socket: the phone wakes late, not never.
    arrivals.wait_for_token(sandbox.ports["gateway"], token, count=2)


def test_a_message_for_many_waits_once(sandbox: Sandbox) -> None:
    """Dovecot delivers to one recipient after the other: each wait would come on top."""
    logins = [fresh_login(sandbox.domain) for _ in range(20)]
    register(sandbox, *logins)
    with hanging(sandbox):
        took = deliver(sandbox, logins, "for-many")
    tell(f"with a service that hangs, to {len(logins)}: {took:.3f} s")
    assert took < BOUND
    for login in logins:
        wait_for_ids(sandbox, login, ["for-many"])


def test_a_service_that_hangs_with_its_backlog_full(sandbox: Sandbox, login: Login) -> None:
    register(sandbox, login)
    with hanging(sandbox), contextlib.ExitStack() as waiting:
        with contextlib.suppress(BlockingIOError):
            for _ in range(5000):
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(sandbox.layout.sockets / "notify.socket"))
            pytest.fail("the backlog has no end")
        took = deliver(sandbox, [login], "backlog")
    tell(f"with a full backlog: {took:.3f} s")
    assert took < BOUND
    wait_for_ids(sandbox, login, ["backlog"])


def test_a_service_that_is_down(sandbox: Sandbox, login: Login) -> None:
    token = f"openpgp:down-{login.address}"
    with Imap(sandbox.ports, login) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    sandbox.kill("metadata")
    try:
        took = [deliver(sandbox, [login], f"down-{number}") for number in range(3)]
    finally:
        sandbox.restart("metadata")
    tell(f"with a service that is down: {', '.join(f'{each:.3f} s' for each in took)}")
    assert max(took) < BOUND
    wait_for_ids(sandbox, login, ["down-0", "down-1", "down-2"])
    arrivals.wait_for_token(sandbox.ports["gateway"], token)
