"""The service behind a real Dovecot, 2.3 or 2.4: what clients set and get over IMAP."""

import contextlib
import imaplib
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from postern.host import dovecot
from relay.mailbox.directory import prepare_root
from relay.owner import Owner
from tests.metadata.gateway import Gateway
from tests.support import DEADLINE, Daemon, daemon, dict_client, eventually, poll

pytestmark = pytest.mark.e2e
USER = "alice@example.org"
TOKEN = "openpgp:" + "Zm9v" * 1000 + "=="
CONFIG_2_3 = """
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {dir}/base
state_dir = {dir}/base
log_path = {dir}/dovecot.log
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
auth_username_format = %Lu
mail_location = maildir:{mail}/%u
mail_attribute_dict = proxy:{dir}/metadata.sock:metadata
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={mail}/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service lmtp {{
  unix_listener {dir}/lmtp.sock {{
    mode = 0666
  }}
}}
protocol imap {{
  imap_metadata = yes
}}
"""
CONFIG_2_4 = """
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
protocols {{
  imap = yes
  lmtp = yes
}}
listen = 127.0.0.1
base_dir = {dir}/base
state_dir = {dir}/base
log_path = {dir}/dovecot.log
ssl = no
auth_allow_cleartext = yes
first_valid_uid = 1
auth_username_format = %{{user | lower}}
mail_driver = maildir
mail_path = {mail}/%{{user}}
mail_attribute {{
  dict proxy {{
    name = metadata
    socket_path = {dir}/metadata.sock
  }}
}}
passdb static {{
  fields {{
    nopassword = yes
  }}
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {mail}/%{{user}}
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service lmtp {{
  unix_listener {dir}/lmtp.sock {{
    mode = 0666
  }}
}}
protocol imap {{
  imap_metadata = yes
}}
"""
CONFIGS = {"2.3": CONFIG_2_3, "2.4": CONFIG_2_4}


@pytest.fixture
def place(socket_dir: Path) -> Path:
    """A directory that Dovecot's mail user may pass through."""
    if os.geteuid() != 0 or shutil.which("dovecot") is None:
        pytest.fail("this test needs root and Dovecot (packages dovecot-imapd, dovecot-lmtpd)")
    socket_dir.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    mailbox = socket_dir / "mail" / USER
    prepare_root(mailbox.parent, Owner(nobody.pw_uid, nobody.pw_gid))
    mailbox.mkdir()
    os.chown(mailbox, nobody.pw_uid, nobody.pw_gid)
    return socket_dir


@pytest.fixture
def imap(place: Path) -> Iterator[imaplib.IMAP4]:
    """A logged-in session with a private Dovecot."""
    nobody = pwd.getpwnam("nobody")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (place / "dovecot.conf").write_text(
        CONFIGS[dovecot.installed()].format(
            dir=place, mail=place / "mail", port=port, uid=nobody.pw_uid, gid=nobody.pw_gid
        )
    )
    log = place / "dovecot.log"
    with subprocess.Popen(["dovecot", "-F", "-c", place / "dovecot.conf"]) as server:
        try:
            poll(lambda: log.exists() and "starting up" in log.read_text(), "Dovecot")
            session = imaplib.IMAP4("127.0.0.1", port, timeout=DEADLINE)
            session.login(USER, "any")
            yield session
            session.logout()
        finally:
            server.terminate()
            server.wait(DEADLINE)


def dialogue(session: imaplib.IMAP4, command: str) -> tuple[str, str]:
    """The untagged lines of the answer, literals put in their place, and the tagged one."""
    tag = session._new_tag().decode()
    session.send(f"{tag} {command}\r\n".encode())
    answer = ""
    while not (line := session.readline().decode()).startswith(tag):
        answer += line
    return answer, line.removeprefix(tag).strip()


@contextlib.contextmanager
def metadata(place: Path, gateway: Gateway, *lines: str) -> Iterator[Daemon]:
    """The service, up, with more lines of configuration."""
    values = (
        "mail_domain = example.org",
        f"mailboxes_dir = {place}/mail",
        "mailboxes_user = nobody",
        f"push_gateway = {gateway.url}",
        *lines,
    )
    (place / "chatmail.ini").write_text("[params]\n" + "\n".join(values) + "\n")
    command = ["-m", "metadata", "--config", str(place / "chatmail.ini")]
    command += ["--socket", str(place / "metadata.sock"), "--state", str(place / "state")]
    command += ["--notify-socket", str(place / "notify.sock")]
    with daemon(command) as running:
        running.wait_for_log("is up")
        yield running


async def test_what_a_client_may_not_set_is_no_error_in_dovecots_log(
    place: Path, gateway: Gateway, imap: imaplib.IMAP4
) -> None:
    """Each would be a line with the user's address, at any client's will; DELETE would fail."""
    with metadata(place, gateway):
        for command in (
            'SETMETADATA INBOX (/private/devicetoken "token")',
            "CREATE folder",
            "DELETE folder",
            'SETMETADATA INBOX (/private/comment "x")',
            "SETMETADATA INBOX (/private/comment NIL)",
            "SETMETADATA INBOX (/private/devicetoken NIL)",
            'SETMETADATA INBOX (/private/devicetoken "a b")',
            'SETMETADATA INBOX (/private/devicetoken "")',
            'SETMETADATA INBOX (/private/messagenew "")',
            'SETMETADATA INBOX (/private/messageown "")',
            'SETMETADATA "" (/shared/vendor/deltachat/turn "x")',
            'SETMETADATA "" (/private/vendor/x/y "x")',
        ):
            assert dialogue(imap, command)[1].startswith("OK"), command
        assert "folder" not in dialogue(imap, 'LIST "" *')[0]
        assert "token)" in dialogue(imap, "GETMETADATA INBOX (/private/devicetoken)")[0]
        # The same over the socket of Dovecot's Lua is what a delivery does.
        assert gateway.received == []
        async with dict_client(place / "notify.sock") as lua:
            await lua.send(f"B1\t{USER}\nS1\tpriv/0/messagenew\t\nC1\n".encode())
            assert await lua.line() == b"O1\n"
        await eventually(lambda: gateway.received == ["token"], "the push")
    log = (place / "dovecot.log").read_text()
    assert "Error" not in log


async def test_metadata_over_imap(place: Path, gateway: Gateway, imap: imaplib.IMAP4) -> None:
    versions = '{"clients":[{"clientId":"x"}]}'
    (place / "appversions.json").write_text(versions.replace(":", " : "))
    with metadata(place, gateway, f"appversions_path = {place}/appversions.json"):
        asked = "/shared/vendor/deltachat/"
        names = ("irohrelay", "turn", "maxsmtprecipients", "appversions")
        entries = " ".join(asked + name for name in names)
        answer, end = dialogue(imap, f'GETMETADATA "" (/shared/comment /shared/admin {entries})')
        assert end.startswith("OK")
        assert " ".join(answer.split()) == (
            '* METADATA "" (/shared/comment NIL /shared/admin NIL '
            f"{asked}irohrelay NIL {asked}turn NIL "
            f"{asked}maxsmtprecipients {{4}} 1000 "
            f"{asked}appversions {{{len(versions)}}} {versions})"
        )

        got = "GETMETADATA INBOX (/private/devicetoken)"
        assert "/private/devicetoken NIL" in dialogue(imap, got)[0]
        for token in (TOKEN, "second", TOKEN):
            assert (
                dialogue(imap, f'SETMETADATA INBOX (/private/devicetoken "{token}")')[1][:2] == "OK"
            )
        length = len(f"{TOKEN} second")
        assert f"{{{length}}}\r\n{TOKEN} second)" in dialogue(imap, got)[0]
    stored = place / "mail" / USER / "metadata.json"
    assert stored.owner() == "nobody"
