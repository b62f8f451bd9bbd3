"""The plan of a host: units and files for its own configuration, and the operator's lines."""

from pathlib import Path

import pytest

from postern.host.install.local import with_local_lines
from postern.host.units import rendered_unit, unit_files
from relay.config import parse_config
from tests.postern.install.hosts import CONFIG_TEXT, UNITS, plan

DEFAULTS, _ = parse_config(CONFIG_TEXT, "here")


@pytest.mark.parametrize("name", list(unit_files(UNITS)))
def test_with_the_defaults_units_are_as_they_stand_in_the_source(name: str) -> None:
    text = (UNITS / name).read_text()
    assert rendered_unit(text, DEFAULTS) == text


def test_units_follow_the_configuration() -> None:
    text = CONFIG_TEXT + "mailboxes_dir = /srv/mail/here\nmailboxes_user = mail\n"
    text += "filtermail_smtp_port = 11080\n"
    config, _ = parse_config(text, "here")

    def unit(name: str) -> str:
        return rendered_unit((UNITS / name).read_text(), config)

    assert "\nRequiresMountsFor=/srv/mail\n" in unit("doveauth.service")
    assert "\nReadWritePaths=/srv/mail\n" in unit("doveauth.service")
    assert "\nUser=mail\n" in unit("doveauth.service")
    assert "\nListenStream=127.0.0.1:11080\n" in unit("filtermail@outgoing.socket")
    incoming = unit("filtermail@incoming.service.d/mailboxes.conf")
    assert "\nReadOnlyPaths=/srv/mail\n" in incoming
    assert not any("=vmail" in unit(name) for name in unit_files(UNITS))


def test_each_unit_of_the_source_is_planned_and_each_socket_has_its_service() -> None:
    planned = plan()
    paths = {file.path for file in planned.files}
    assert {f"/etc/systemd/system/{name}" for name in unit_files(UNITS)} <= paths
    assert planned.sockets["doveauth-lookups.socket"] == "doveauth.service"
    assert planned.sockets["filtermail@incoming.socket"] == "filtermail@incoming.service"
    assert set(planned.sockets.values()) <= set(planned.services)


MASTER = """\
# Services.
smtp inet n - n - 100 smtpd
  -o one=1

pickup    unix  n  -  n  60     1  pickup
"""


def test_local_lines_replace_those_that_they_redefine() -> None:
    merged = with_local_lines("main.cf", "a = 1\nb = 2\n  more\n# b = 3\nc = 4\n", "b = 5\n")
    assert merged == "a = 1\n# b = 3\nc = 4\n\n# From /etc/postern/local/main.cf:\nb = 5\n"


def test_a_local_service_replaces_the_one_of_its_name_and_type() -> None:
    merged = with_local_lines("master.cf", MASTER, "smtp  inet n - n - 7 smtpd\n  -o two=2")
    assert "-o one=1" not in merged
    assert merged.endswith("smtp  inet n - n - 7 smtpd\n  -o two=2\n")
    assert "pickup    unix" in merged


@pytest.mark.parametrize("local", ["", "\n", "  "])
def test_without_local_lines_nothing_changes(local: str) -> None:
    assert with_local_lines("main.cf", "a = 1\n", local) == "a = 1\n"


def test_other_files_include_theirs_by_themselves() -> None:
    assert with_local_lines("dovecot.conf", "a = 1\n", "a = 2\n") == "a = 1\n"


def test_the_last_directories_above_the_mailboxes_are_their_users() -> None:
    owners = {each.path: each.user for each in plan().directories}
    assert owners["/home/vmail/mail"] == "vmail"
    assert owners["/home/vmail/mail/chat.example.org"] == "vmail"
    assert "/home" not in owners
    assert Path("/home/vmail") in map(Path, owners)
