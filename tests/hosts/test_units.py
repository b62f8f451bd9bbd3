"""The units on a booted host: what systemd says of them, and what they enforce."""

import pytest

from tests.hosts.letters import account
from tests.hosts.relay import MAIL, SERVICES, Relay
from tests.support import poll


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_up_and_enabled(relay: Relay, service: str) -> None:
    shown = relay.host.systemctl("show", "--property=ActiveState,UnitFileState,Result", service)
    assert set(shown.split()) == {"ActiveState=active", "UnitFileState=enabled", "Result=success"}


@pytest.mark.parametrize("service", SERVICES)
def test_its_restrictions_hold(relay: Relay, service: str) -> None:
    """A test of the test bed: a restriction that this kernel does not enforce would pass all."""
    pid = relay.host.systemctl("show", "--property=MainPID", "--value", service).strip()
    status = dict(
        line.split(":\t", 1) for line in relay.host.run("cat", f"/proc/{pid}/status").splitlines()
    )
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert int(status["CapBnd"], 16) == 0
    assert status["Uid"].split()[0] != "0"
    seen = ["nsenter", f"--target={pid}", "--mount", "--"]
    assert "ro," in relay.host.run(*seen, "findmnt", "--noheadings", "--output=OPTIONS", "/")
    assert relay.host.run(*seen, "ls", "/root") == ""


@pytest.mark.parametrize(("side", "sees"), [("outgoing", False), ("incoming", True)])
def test_which_filter_sees_mailboxes(relay: Relay, side: str, sees: bool) -> None:
    service = f"filtermail@{side}.service"
    pid = relay.host.systemctl("show", "--property=MainPID", "--value", service).strip()
    uid, gid = relay.host.run("stat", "--format=%u %g", f"/proc/{pid}").split()
    inside = ["nsenter", f"--target={pid}", "--mount", "--", "setpriv", f"--reuid={uid}"]
    inside += [f"--regid={gid}", "--clear-groups", "ls", f"{MAIL}/.postern"]
    assert bool(relay.host.run(*inside, check=False)) == sees
    assert relay.host.run("id", "-nu", uid, check=False) == ("vmail\n" if sees else "")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_killed_comes_back(relay: Relay, service: str) -> None:
    relay.host.systemctl("kill", "--signal=KILL", service)
    restarted = f"{service}: Scheduled restart job"
    poll(lambda: any(restarted in line for line in relay.complaints()), f"{service} is back")
    poll(lambda: _state(relay, service) == "active", f"{service} is up")
    account(relay)
    relay.forget_complaints()


def _state(relay: Relay, service: str) -> str:
    return relay.host.run("systemctl", "is-active", service, check=False).strip()
