"""A real Dovecot, 2.3 or 2.4, private and throw-away, that asks a real doveauth."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postern.host import dovecot
from postern.host.rendering import render
from relay.mailbox.directory import prepare_root
from relay.owner import Owner
from tests.support import DEADLINE, Daemon, daemon, poll

pytestmark = pytest.mark.e2e

NAME = "someone12@example.org"
OTHER = "someone34@example.org"
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
  driver = lua
  args = file={dir}/doveauth.lua blocking=yes
}}
userdb {{
  driver = lua
  args = file={dir}/doveauth.lua blocking=yes
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
}}
userdb doveauth {{
  driver = lua
  lua_file = {dir}/doveauth.lua
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


def configuration(directory: Path) -> dict[str, str]:
    """What the Dovecot that is installed reads, by file name."""
    text = DOVECOT_2_3 if dovecot.installed() == "2.3" else DOVECOT_2_4
    return {
        "dovecot.conf": text.format(dir=directory, group=MAIL_USER),
        "doveauth.lua": render("doveauth.lua", {"lookups_socket": directory / "lookups"}),
    }


class Relay:
    """A Dovecot, and the doveauth that it asks, which may be away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.mailboxes = directory / "mail"
        self.was_killed = False
        for name, text in configuration(directory).items():
            (directory / name).write_text(text)

    def remember_logins(self) -> None:
        """Have Dovecot cache what it is answered, for longer than a test takes."""
        with (self._directory / "dovecot.conf").open("a") as conf:
            conf.write("auth_cache_size = 1M\nauth_cache_ttl = 1 hour\n")
            conf.write("auth_cache_negative_ttl = 1 hour\n")

    def _configure(self, **changes: str) -> None:
        values = {
            "mail_domain": "example.org",
            "mailboxes_dir": str(self.mailboxes),
            "mailboxes_user": MAIL_USER,
            "nocreate_path": f"{self._directory}/nocreate",
            "max_load_1m": "1000",
            "min_available_memory": "1M",
            "min_free_disk_space": "1M",
        }
        lines = "".join(f"{key} = {value}\n" for key, value in (values | changes).items())
        (self._directory / "chatmail.ini").write_text(f"[params]\n{lines}")

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
    def doveauth(self, **changes: str) -> Iterator[Daemon]:
        """A running doveauth; `changes` are keys of its configuration."""
        self._configure(**changes)
        if not self.mailboxes.exists():
            prepare_root(self.mailboxes, Owner.named(MAIL_USER))
        arguments = ["-m", "doveauth", "--config", str(self._directory / "chatmail.ini")]
        for name in ("last-login", "lookups"):
            arguments += [f"--{name}-socket", str(self._directory / name)]
        with daemon(arguments) as running:
            running.wait_for_log("doveauth is up")
            yield running
            if not self.was_killed:
                assert running.terminate() == 0
            assert "Traceback" not in running.log
            assert "someone" not in running.log

    def doveadm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["doveadm", "-c", str(self._directory / "dovecot.conf"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=3 * DEADLINE)

    def login(self, name: str, password: str, remote: str = "") -> str:
        """`ok`, `wrong` or `later`, as a client at `remote` would be told."""
        where = ("-x", f"rip={remote}") if remote else ()
        done = self.doveadm("auth", "test", *where, name, password)
        if done.returncode == 0:
            return "ok"
        return "later" if "code=temp_fail" in done.stdout else "wrong"


@pytest.fixture
def files(socket_dir: Path) -> Relay:
    """One that Dovecot is not started for yet."""
    # Dovecot's own processes, which are not root, have to get at the sockets.
    socket_dir.chmod(0o755)
    return Relay(socket_dir)


@pytest.fixture
def relay(files: Relay) -> Iterator[Relay]:
    with files.dovecot():
        yield files


PASSWORD = "pass\"w\\or'd /with everything"


def test_dovecot_logs_users_in_makes_them_and_lists_them(relay: Relay) -> None:
    with relay.doveauth():
        assert relay.doveadm("user", NAME).returncode == 67
        assert relay.login(NAME, PASSWORD) == "ok"
        assert relay.login(NAME, PASSWORD) == "ok"
        assert relay.login(NAME.upper(), PASSWORD) == "ok"
        assert relay.login(OTHER, PASSWORD) == "ok"
        assert sorted(relay.doveadm("user", "*").stdout.split()) == sorted([NAME, OTHER])
        everybody = relay.doveadm("-f", "tab", "mailbox", "status", "-A", "messages", "INBOX")
        assert everybody.returncode == 0
        assert {line.split()[0] for line in everybody.stdout.splitlines()} >= {NAME, OTHER}
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


def test_a_doveauth_that_was_restarted_is_asked_on_a_new_connection(relay: Relay) -> None:
    for _ in range(3):
        with relay.doveauth():
            assert relay.login(NAME, PASSWORD) == "ok"
            assert relay.doveadm("user", NAME).returncode == 0


@pytest.mark.slow
def test_a_crowd_that_waits_for_a_doveauth_without_a_turn_is_let_in(relay: Relay) -> None:
    names = [f"crowd{number:04}@example.org" for number in range(20)]
    with relay.doveauth() as running, ThreadPoolExecutor(len(names)) as clients:
        assert [relay.login(name, PASSWORD) for name in names] == ["ok"] * len(names)
        running.process.send_signal(signal.SIGSTOP)
        waiting = [clients.submit(relay.login, name, PASSWORD) for name in names]
        # Long enough for all to have asked, shorter than anybody waits.
        time.sleep(2)
        running.process.send_signal(signal.SIGCONT)
        assert [each.result() for each in waiting] == ["ok"] * len(names)


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
        running.wait_for_log(".postern is missing: mount the disk of the mailboxes")
        relay.mailboxes.unlink()
        relay.mailboxes.with_name("aside").rename(relay.mailboxes)
        assert relay.login(NAME, PASSWORD) == "ok"


def test_a_machine_in_need_asks_newcomers_to_come_again(relay: Relay) -> None:
    with relay.doveauth():
        assert relay.login(NAME, PASSWORD) == "ok"
    with relay.doveauth(min_free_disk_space="1000T") as running:
        assert relay.login(NAME, PASSWORD) == "ok"
        assert relay.login(OTHER, PASSWORD) == "later"
        running.wait_for_log("less disk space is free than min_free_disk_space (1 times)")
    with relay.doveauth():
        assert relay.login(OTHER, PASSWORD) == "ok"


def test_a_clients_network_is_known_by_the_address_that_dovecot_passes_on(relay: Relay) -> None:
    with relay.doveauth(max_creations_per_hour_per_network="1") as running:
        assert relay.login(NAME, PASSWORD, "192.0.2.1") == "ok"
        assert relay.login(OTHER, PASSWORD, "192.0.2.2") == "later"
        running.wait_for_log("max_creations_per_hour_per_network (1 times)")
        assert relay.login(NAME, PASSWORD, "192.0.2.2") == "ok"
        assert relay.login("someone56@example.org", PASSWORD, "2001:db8::1") == "ok"
        assert relay.login(OTHER, PASSWORD, "2001:db8::2") == "later"
        assert relay.login(OTHER, PASSWORD, "198.51.100.1") == "ok"
        assert "192.0.2" not in running.log


@pytest.mark.parametrize("trouble", ["away", "disk", "short"])
def test_no_trouble_is_remembered_as_a_wrong_password(files: Relay, trouble: str) -> None:
    files.remember_logins()
    with files.dovecot():
        if trouble == "away":
            assert files.login(NAME, PASSWORD) == "later"
        elif trouble == "disk":
            with files.doveauth():
                assert files.login("x@example.org", PASSWORD) == "wrong"
                files.mailboxes.rename(files.mailboxes.with_name("elsewhere"))
                assert files.login(NAME, PASSWORD) == "later"
                files.mailboxes.with_name("elsewhere").rename(files.mailboxes)
        else:
            with files.doveauth(min_free_disk_space="1000T"):
                assert files.login(NAME, PASSWORD) == "later"
        with files.doveauth():
            # Dovecot does not try again within the second in which it could not connect.
            told = {"later"}

            def is_told() -> bool:
                told.add(files.login(NAME, PASSWORD))
                return told > {"later"}

            poll(is_told, "an answer that is not temporary")
            assert told == {"later", "ok"}
            assert files.login(NAME, PASSWORD + "x") == "wrong"
            assert files.login(NAME, PASSWORD) == "ok"


@pytest.mark.parametrize(
    "name",
    [
        "../../x12345@example.org",
        "/etc/pass@example.org",
        "some+tag1@example.org",
        "someone12+tag@example.org",
        "someone1.@example.org",
        "someone12@example.org.",
        "ѕomeone12@example.org",
        "some\none12@example.org",
        "some\tone12@example.org",
        'some"one1@example.org',
        "postmaster@example.org",
        "a" * 3000 + "@example.org",
    ],
    ids=lambda name: ascii(name[:24]),
)
def test_a_hostile_name_makes_nothing(relay: Relay, name: str) -> None:
    with relay.doveauth(username_min_length="1", username_max_length="64"):
        assert relay.login(NAME, PASSWORD) == "ok"
        assert relay.login(name, PASSWORD) != "ok"
        assert relay.doveadm("user", name).returncode != 0
    assert sorted(path.name for path in relay.mailboxes.iterdir()) == [".postern", NAME]


def test_a_temporary_failure_leaves_no_password_in_dovecots_log(relay: Relay) -> None:
    with relay.doveauth(min_free_disk_space="1000T"):
        assert relay.login(NAME, PASSWORD) == "later"
    log = (relay._directory / "dovecot.log").read_text()
    assert PASSWORD not in log
    assert "with everything" not in log


SECRET = "SECRETPASSWORD1"


@pytest.mark.parametrize("how", ["down", "killed", "hung"])
def test_a_crash_of_doveauth_leaves_no_password_in_any_log(relay: Relay, how: str) -> None:
    if how == "down":
        assert relay.login(NAME, SECRET, "192.0.2.77") == "later"
    else:
        with ThreadPoolExecutor(4) as clients, relay.doveauth() as running:
            assert relay.login(OTHER, SECRET) == "ok"
            running.process.send_signal(signal.SIGSTOP)
            pending = [clients.submit(relay.login, NAME, SECRET, "192.0.2.77") for _ in range(4)]
            if how == "killed":
                # Dovecot has asked by now.
                time.sleep(2)
                running.process.kill()
            assert [each.result() for each in pending] == ["later"] * 4
            if how == "hung":
                running.process.send_signal(signal.SIGCONT)
            else:
                relay.was_killed = True
    logs = [path.read_text() for path in relay._directory.glob("*.log")]
    assert any("doveauth does not answer now" in text for text in logs)
    assert not any(SECRET in text for text in logs)
