"""A real Dovecot, 2.3 or 2.4, private and throw-away, that asks a real doveauth."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern import dovecot
from postern.templates import render
from tests.support import DEADLINE, Daemon, daemon, poll

pytestmark = pytest.mark.e2e

NAME = "someone12@example.org"
MAIL_USER = "mail"
"""A user that every Debian has and that owns no file here."""

DOVECOT_2_3 = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
protocols =
ssl = no
first_valid_uid = 1
auth_failure_delay = 0
auth_username_format = %Lu
mail_location = maildir:~/Maildir
passdb {{
  driver = dict
  args = {dir}/auth.conf
}}
userdb {{
  driver = dict
  args = {dir}/auth.conf
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""
DOVECOT_2_4 = """
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
protocols =
ssl = no
first_valid_uid = 1
auth_failure_delay = 0
auth_username_format = %{{user | lower}}
mail_driver = maildir
mail_path = ~/Maildir
passdb doveauth {{
  driver = lua
  lua_file = {dir}/doveauth.lua
  lua_settings {{
    socket = {dir}/lookups
  }}
}}
userdb doveauth {{
  driver = lua
  lua_file = {dir}/doveauth.lua
  lua_settings {{
    socket = {dir}/lookups
  }}
}}
service auth-worker {{
  user = dovecot
  extra_groups = {group}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""
AUTH_CONF = """
uri = proxy:{dir}/auth:auth
password_key = passdb/%Ew"%Eu"%r
user_key = userdb/%Eu
iterate_prefix = userdb/
iterate_disable = no
default_pass_scheme = plain
"""


def configuration(directory: Path) -> dict[str, str]:
    """What the Dovecot that is installed reads, by file name."""
    if dovecot.installed() == "2.3":
        texts = {"dovecot.conf": DOVECOT_2_3, "auth.conf": AUTH_CONF}
    else:
        texts = {"dovecot.conf": DOVECOT_2_4}
    files = {name: text.format(dir=directory, group=MAIL_USER) for name, text in texts.items()}
    return files | {"doveauth.lua": render("dovecot-2.4/doveauth.lua", {})}


class Relay:
    """A Dovecot, and the doveauth that it asks, which may be away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.mailboxes = directory / "mail"
        for name, text in configuration(directory).items():
            (directory / name).write_text(text)
        (directory / "chatmail.ini").write_text(
            f"[params]\nmail_domain = example.org\nmailboxes_dir = {self.mailboxes}\n"
            f"mailboxes_user = {MAIL_USER}\nnocreate_path = {directory}/nocreate\n"
            "max_load_1m = 1000\nmin_available_memory = 1M\nmin_free_disk_space = 1M\n"
        )

    @contextlib.contextmanager
    def dovecot(self) -> Iterator[None]:
        command = ["dovecot", "-F", "-c", str(self._directory / "dovecot.conf")]
        with subprocess.Popen(command) as process:
            try:
                poll(lambda: self.doveadm("who").returncode == 0, "an answer of Dovecot")
                yield
            finally:
                process.terminate()
                process.wait(DEADLINE)

    @contextlib.contextmanager
    def doveauth(self) -> Iterator[Daemon]:
        arguments = ["-m", "doveauth", "--config", str(self._directory / "chatmail.ini")]
        for name in ("auth", "last-login", "lookups"):
            arguments += [f"--{name}-socket", str(self._directory / name)]
        with daemon(arguments) as running:
            running.wait_for_log("doveauth is up")
            yield running
            assert running.terminate() == 0
            assert "Traceback" not in running.log
            assert "someone" not in running.log

    def doveadm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["doveadm", "-c", str(self._directory / "dovecot.conf"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=3 * DEADLINE)

    def login(self, name: str, password: str) -> str:
        """`ok`, `wrong` or `later`, as a client would be told."""
        done = self.doveadm("auth", "test", name, password)
        if done.returncode == 0:
            return "ok"
        return "later" if "code=temp_fail" in done.stdout else "wrong"


@pytest.fixture
def relay(socket_dir: Path) -> Iterator[Relay]:
    # Dovecot's own processes, which are not root, have to get at the sockets.
    socket_dir.chmod(0o755)
    relay = Relay(socket_dir)
    with relay.dovecot():
        yield relay


PASSWORD = "pass\"w\\or'd /with everything"


def test_dovecot_logs_users_in_makes_them_and_lists_them(relay: Relay) -> None:
    with relay.doveauth():
        assert relay.doveadm("user", NAME).returncode == 67
        assert relay.login(NAME, PASSWORD) == "ok"
        assert relay.login(NAME, PASSWORD) == "ok"
        assert relay.login(NAME.upper(), PASSWORD) == "ok"
        assert relay.doveadm("user", "*").stdout.split() == [NAME]
        assert relay.doveadm("-f", "flow", "mailbox", "status", "-A", "messages", "INBOX").stdout
        user = relay.doveadm("user", "-f", "home", NAME)
        assert user.stdout.strip() == str(relay.mailboxes / NAME)
    assert (relay.mailboxes / NAME).owner() == MAIL_USER


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("short@example.org", PASSWORD),
        ("someone12@example.com", PASSWORD),
        (NAME, "short"),
        (NAME, "x" * 600),
    ],
)
def test_who_may_not_be_made_is_refused(relay: Relay, name: str, password: str) -> None:
    with relay.doveauth():
        assert relay.login(name, password) == "wrong"
        assert relay.doveadm("user", "*").stdout.split() == []


def test_a_false_password_is_refused(relay: Relay) -> None:
    with relay.doveauth():
        assert relay.login(NAME, PASSWORD) == "ok"
        assert relay.login(NAME, PASSWORD + "x") == "wrong"


def test_a_doveauth_that_is_away_is_a_temporary_failure(relay: Relay) -> None:
    with relay.doveauth():
        assert relay.login(NAME, PASSWORD) == "ok"
    assert relay.login(NAME, PASSWORD) == "later"
    assert relay.doveadm("user", NAME).returncode == 75
    with relay.doveauth():
        assert relay.login(NAME, PASSWORD) == "ok"


@pytest.mark.slow
def test_a_doveauth_that_hangs_is_a_temporary_failure(relay: Relay) -> None:
    with relay.doveauth() as running:
        assert relay.login(NAME, PASSWORD) == "ok"
        running.process.send_signal(signal.SIGSTOP)
        assert relay.login(NAME, PASSWORD) == "later"
        running.process.send_signal(signal.SIGCONT)
        assert relay.login(NAME, PASSWORD) == "ok"
        assert relay.login(NAME, PASSWORD + "x") == "wrong"


def test_a_disk_in_trouble_is_a_temporary_failure(relay: Relay) -> None:
    with relay.doveauth() as running:
        assert relay.login(NAME, PASSWORD) == "ok"
        relay.mailboxes.rename(relay.mailboxes.with_name("aside"))
        relay.mailboxes.write_text("no directory any more")
        assert relay.login(NAME, PASSWORD) == "later"
        running.wait_for_log("the mailboxes cannot be read or written: Not a directory")
        relay.mailboxes.unlink()
        relay.mailboxes.with_name("aside").rename(relay.mailboxes)
        assert relay.login(NAME, PASSWORD) == "ok"
