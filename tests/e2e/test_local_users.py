"""What another user of the host can do: nothing that a stranger cannot."""

import subprocess

import pytest

from sandbox.relay import Sandbox

pytestmark = pytest.mark.e2e
_CONNECT = "use IO::Socket::UNIX; print scalar readline(IO::Socket::UNIX->new(Peer => $ARGV[0]))"


@pytest.mark.parametrize(("group", "greeted"), [("nogroup", False), ("postdrop", True)])
@pytest.mark.parametrize("direction", ["outgoing", "incoming"])
def test_only_filtermails_group_hands_messages_back_to_postfix(
    sandbox: Sandbox, group: str, direction: str, greeted: bool
) -> None:
    # Perl is on every Debian; this interpreter may lie where nobody else can run it.
    done = subprocess.run(
        ["perl", "-e", _CONNECT, str(sandbox.layout.reinject_sockets / f"reinject-{direction}")],
        user="nobody",
        group=group,
        extra_groups=[],
        capture_output=True,
        check=False,
    )
    assert done.stdout.startswith(b"220 ") == greeted, done


def test_no_port_takes_mail_past_the_filter(sandbox: Sandbox) -> None:
    services = subprocess.run(
        ["postconf", "-c", str(sandbox.layout.postfix), "-M"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    unfiltered = subprocess.run(
        ["postconf", "-c", str(sandbox.layout.postfix), "-P", "*/inet/smtpd_proxy_filter"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    ports = [service for service in services if service.split()[1] == "inet"]
    assert len(ports) == len([line for line in unfiltered if line.rstrip()[-1] != "="]) == 3


def test_sendmail_is_for_root_only(sandbox: Sandbox) -> None:
    """Postfix' sendmail(1) would take any local user's mail past the filter."""
    shown = subprocess.run(
        ["postconf", "-c", str(sandbox.layout.postfix), "-h", "authorized_submit_users"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.strip() == "root"
