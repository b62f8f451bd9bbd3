"""How soon a client in IDLE hears of a message."""

import time

import pytest

from sandbox.check import LATENCY_SECONDS, delivery_times
from sandbox.clients import Imap, Smtp
from sandbox.login import Login
from sandbox.relay import Sandbox
from sandbox.threads import in_thread
from tests.e2e.tools import encrypted
from tests.support import DEADLINE

pytestmark = pytest.mark.e2e


def test_a_client_that_has_been_idle_is_told_at_once(sandbox: Sandbox) -> None:
    times = delivery_times(sandbox, tries=5)
    assert min(times) < LATENCY_SECONDS, times


@pytest.mark.parametrize("idle", [0.0, 0.55, 0.75, 0.95])
def test_no_message_is_kept_from_a_client_about_to_hibernate(
    sandbox: Sandbox, login: Login, idle: float
) -> None:
    """Dovecot's IMAP process forgets a message that comes half a second before it hibernates."""
    imap = Imap(sandbox.ports, login)
    with Smtp(sandbox.ports, login) as smtp:
        imap.start_idle()
        told = in_thread(imap.wait_for_exists)
        time.sleep(idle)  # what is tested is this very moment
        assert smtp.transact(login.address, [login.address], encrypted(login))[0] == 250
        told.result(DEADLINE)
    imap.end_idle()
    imap.logout()
