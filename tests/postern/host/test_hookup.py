"""The files in `docs/host/` are the templates', and the sandbox is made of the same."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from postern.host.files import HOST_FILES
from postern.host.rendering import render
from postern.host.wiring import host_wiring
from relay.config import parse_config
from tests.postern.host.documents import DOCUMENTS, PRIVACY, host_files, privacy

REPO = Path(__file__).parents[3]
TEMPLATES = REPO / "postern" / "host" / "templates"
FILES = dict(host_files())
TEMPLATE = {file.path: file.template for file in HOST_FILES}
INCLUDE = re.compile(r'{% include "([^"]+)" %}')


@pytest.mark.parametrize("name", FILES)
def test_each_file_of_a_host_is_among_the_documents(name: str) -> None:
    again = "write it again: python -m tests.postern.host.documents"
    assert (DOCUMENTS / name).read_text() == FILES[name], again


def test_the_documents_have_no_other_files() -> None:
    assert {path.name for path in DOCUMENTS.iterdir()} == set(FILES)


def test_hookup_names_each_of_them() -> None:
    text = (REPO / "docs" / "hookup.md").read_text()
    assert [name for name in FILES if f"host/{name}" not in text] == []


def test_the_privacy_page_is_what_the_command_prints() -> None:
    assert PRIVACY.read_text() == privacy()


def test_the_privacy_page_follows_the_configuration() -> None:
    config, _ = parse_config(
        "[params]\nmail_domain = a.example\ndelete_mails_after = 3\nregistration = invite\n", "here"
    )
    text = render("privacy.md", asdict(config))
    assert "at most 3 days" in text
    assert "invitations.sqlite" in text
    assert "invitations.sqlite" not in privacy()


@pytest.mark.parametrize(
    ("sandbox", "host"),
    [
        ("postfix/main.cf", "postfix/host-main.cf"),
        ("dovecot-2.3/dovecot.conf", "dovecot-2.3/host.conf"),
        ("dovecot-2.4/dovecot.conf", "dovecot-2.4/host.conf"),
    ],
)
def test_the_sandbox_is_made_of_the_same(sandbox: str, host: str) -> None:
    ours, theirs = (INCLUDE.findall((TEMPLATES / name).read_text()) for name in (sandbox, host))
    assert ours == theirs
    assert len(ours) == 1


def test_a_relay_with_an_address_literal_keeps_its_hosts_name() -> None:
    config, _ = parse_config("[params]\nmail_domain = [192.0.2.1]\n", "here")
    wiring = host_wiring(config, mailboxes_uid=999, mailboxes_group="vmail")
    assert "\nmyhostname" not in wiring.render(TEMPLATE["/etc/postfix/main.cf"])
    login_map = wiring.render(TEMPLATE["/etc/postfix/login_map"])
    assert login_map == "/^([A-Za-z0-9._-]+@\\[192\\.0\\.2\\.1\\])$/ ${1}\n"


def test_without_a_directory_for_sockets_reinjection_is_on_ports() -> None:
    config, _ = parse_config("[params]\nmail_domain = chat.example.org\n", "here")
    wiring = host_wiring(config, mailboxes_uid=999, mailboxes_group="vmail")
    master = wiring.render(TEMPLATE["/etc/postfix/master.cf"])
    assert "\n127.0.0.1:10025 inet n - n - 1000 smtpd\n" in master
    assert "\n127.0.0.1:10026 inet n - n - 1000 smtpd\n" in master
