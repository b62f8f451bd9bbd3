"""`scripts/install` on booted hosts: again, edited, broken, killed, updated under load."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from postern.host.install.apply import JOURNAL
from sandbox import letters
from tests.hosts.checkout import CHECKOUT, WHEELS, install
from tests.hosts.host import Host
from tests.hosts.relay import CONFIG, DOMAIN, SERVICES, Relay

IDLE_RUN_SECONDS = 20
LOCAL = "/etc/postern/local"
UNDONE = "The installation failed. The host is as it was before."


def files(host: Host) -> str:
    """Every file of the host's configuration and of our versions, with its contents."""
    return host.shell(
        "find /etc /opt/postern/venv /home /usr/local /var/lib/postern \\( -type f -o -type l \\) "
        "! -name '*.postern-new' ! -path '/etc/ssl/*' -exec sha256sum {} + 2>&1 | sort -k 2"
    )


def works(relay: Relay) -> None:
    """A first login, and a message to oneself."""
    login = relay.login()
    with relay.imap(login) as imap, relay.smtp(login) as smtp:
        letter = letters.encrypted(login.address)
        assert smtp.transact(login.address, [login.address], letter)[0] == 250
        assert imap.wait_for_messages(1) == 1


@contextmanager
def put(host: Host, path: str, text: str) -> Iterator[None]:
    """A file that is there for a while, another one's in its place if it was there."""
    before = host.run("cat", path, check=False)
    host.write(path, text)
    try:
        yield
    finally:
        if before:
            host.write(path, before)
        else:
            host.run("rm", path)


def test_a_second_run_changes_nothing_and_says_so_in_seconds(relay: Relay) -> None:
    before, began = files(relay.host), time.monotonic()
    said = install(relay.host, DOMAIN)
    assert "Nothing to change" in said
    assert time.monotonic() - began < IDLE_RUN_SECONDS
    assert files(relay.host) == before


def test_a_dry_run_shows_a_diff_and_changes_nothing(relay: Relay) -> None:
    with put(relay.host, f"{LOCAL}/main.cf", "smtpd_timeout = 77s\n"):
        before = files(relay.host)
        said = install(relay.host, "--dry-run")
        assert "+smtpd_timeout = 77s" in said
        assert json.loads(install(relay.host, "--dry-run", "--json"))["files"] == [
            "/etc/postfix/main.cf"
        ]
        assert files(relay.host) == before


def test_lines_of_the_operator_hold_and_survive(relay: Relay) -> None:
    with put(relay.host, f"{LOCAL}/main.cf", "smtpd_timeout = 77s\n"):
        said = install(relay.host, DOMAIN)
        assert "postfix.service reloaded" in said
        assert relay.host.run("postconf", "-h", "smtpd_timeout").strip() == "77s"
        assert "Nothing to change" in install(relay.host)
    install(relay.host)
    assert relay.host.run("postconf", "-h", "smtpd_timeout").strip() != "77s"


def test_an_edit_by_hand_is_shown_and_kept(relay: Relay) -> None:
    path = "/etc/dovecot/dovecot.conf"
    ours = relay.host.run("cat", path)
    relay.host.write(path, ours + "# my own line\n")
    said = install(relay.host)
    assert f"{path} was edited by hand" in said
    assert "-# my own line" in said
    assert relay.host.run("cat", path) == ours
    kept = relay.host.shell(f"cat /var/lib/postern/install/edited/*{path}")
    assert "# my own line" in kept
    works(relay)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("main.cf", "no_such_parameter = 1\n", "no_such_parameter"),
        ("master.cf", "nonsense\n", "bad field count"),
        ("dovecot.conf", "nonsense = 1\n", "nonsense"),
    ],
)
def test_what_a_program_does_not_accept_is_never_put_in_place(
    relay: Relay, name: str, text: str, words: str
) -> None:
    # Dovecot's drop-in is read from its place: the check is of the file that includes it.
    with (
        put(relay.host, f"{LOCAL}/{name}", text),
        put(relay.host, CONFIG, relay.host.run("cat", CONFIG) + "max_imap_connections = 9999\n"),
    ):
        before = files(relay.host)
        said = install(relay.host, check=False)
        assert UNDONE in said
        assert words in said
        assert files(relay.host) == before
        works(relay)


@contextmanager
def another_version(host: Host, sed: str, path: str) -> Iterator[None]:
    """A checkout whose file `path` is changed by sed."""
    place = f"{CHECKOUT}/{path}"
    before = host.run("cat", place)
    host.run("sed", "-i", sed, place)
    try:
        yield
    finally:
        host.write(place, before)


def test_a_version_that_does_not_come_up_is_dropped(relay: Relay) -> None:
    before = files(relay.host)
    broken = another_version(relay.host, "1a raise SystemExit(1)", "metadata/__main__.py")
    with broken:
        said = install(relay.host, check=False)
    assert UNDONE in said
    assert "metadata.service" in said
    assert files(relay.host) == before
    works(relay)
    relay.forget_complaints()  # of the version that did not come up


_KILLED = f"""
PIP_NO_INDEX=1 PIP_FIND_LINKS={WHEELS} {CHECKOUT}/scripts/install >/dev/null 2>&1 &
for i in $(seq 900); do
    grep -q '"path": "/opt/postern/venv"' {JOURNAL}/entries.jsonl 2>/dev/null && break
    sleep 0.1
done
pkill -KILL -f 'postern instal[l]'
"""
"""It is killed when it has switched to the new version, and restarts the daemons."""


def test_a_killed_run_is_put_back_by_the_next_one(relay: Relay) -> None:
    before = files(relay.host)
    with another_version(relay.host, "1a # another version", "metadata/__main__.py"):
        relay.host.shell(_KILLED)
    said = install(relay.host)
    assert "An earlier installation was interrupted" in said
    assert files(relay.host) == before
    works(relay)


def test_an_update_refuses_nobody(relay: Relay) -> None:
    outcomes: list[str] = []
    login = relay.login()

    def send() -> None:
        try:
            with relay.smtp(login) as smtp:
                code, text = smtp.transact(
                    login.address, [login.address], letters.encrypted(login.address)
                )
            outcomes.append("" if code == 250 else f"{code} {text}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a client that was refused
            outcomes.append(repr(error))

    with relay.imap(login), every(0.25, send):
        with another_version(relay.host, "1a # a newer version", "filtermail/__main__.py"):
            said = install(relay.host)
        assert "filtermail@outgoing.service restarted" in said
        install(relay.host)  # and back
    assert len(outcomes) > 20
    assert [each for each in outcomes if each] == []
    with relay.imap(login) as imap:
        assert imap.wait_for_messages(len(outcomes)) == len(outcomes)
    for service in SERVICES:
        assert relay.host.run("systemctl", "is-active", service).strip() == "active"


@contextmanager
def every(seconds: float, step: Callable[[], None]) -> Iterator[None]:
    """Take a step every so often, beside the block."""
    stop = Event()

    def go() -> None:
        while not stop.wait(seconds):
            step()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(go)
        try:
            yield
        finally:
            stop.set()
            running.result(60)
