"""The configuration file: keys, defaults, and an error that names the place for what is wrong."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from relay.config import CertificateFiles, ConfigError, parse_config, read_config

MINIMAL = "[params]\nmail_domain = example.org\n"
BAD = sorted((Path(__file__).parent / "bad_configs").glob("*.ini"))
DEFAULTS: dict[str, Any] = {
    "mail_domain": "example.org",
    "max_user_send_per_minute": 60,
    "max_user_send_burst_size": 10,
    "max_mailbox_size": 500 * 1024 * 1024,
    "max_message_size": 31457280,
    "delete_mails_after": 20,
    "delete_large_after": 7,
    "delete_inactive_users_after": 90,
    "username_min_length": 9,
    "username_max_length": 9,
    "password_min_length": 9,
    "max_load_1m": 5.0,
    "min_available_memory": 200 * 1024 * 1024,
    "min_free_disk_space": 1024 * 1024 * 1024,
    "max_imap_connections": 10000,
    "max_smtp_connections": 1000,
    "tls_external_cert_and_key": None,
    "www_folder": "",
    "disable_ipv6": False,
    "acme_email": "",
    "iroh_relay": None,
    "mtail_address": "",
    "imap_rawlog": False,
    "imap_compress": False,
    "privacy_postal": "",
    "privacy_mail": "",
    "privacy_pdo": "",
    "privacy_supervisor": "",
    "filtermail_smtp_port": 10080,
    "filtermail_smtp_port_incoming": 10081,
    "filtermail_http_port_incoming": 10082,
    "filtermail_lmtp_port_transport": 10083,
    "postfix_reinject_port": 10025,
    "postfix_reinject_port_incoming": 10026,
    "mailboxes_dir": Path("/home/vmail/mail/example.org"),
    "turn_socket_path": None,
    "passdb_path": None,
    "push_gateway": "https://notifications.delta.chat/notify",
    "mailboxes_user": "vmail",
    "nocreate_path": Path("/etc/chatmail-nocreate"),
    "appversions_path": None,
    "max_smtp_recipients": 1000,
    "registration": "open",
    "registration_state_dir": Path("/var/lib/doveauth"),
    "max_creations_per_hour_per_network": 300,
    "network_prefix_ipv4": 24,
    "network_prefix_ipv6": 64,
    "operator_address": None,
    "postfix_reinject_sockets": None,
    "push_max_in_flight": 100,
    "turn_secret_path": None,
    "turn_port": 3478,
    "acme_directory": "https://acme-v02.api.letsencrypt.org/directory",
}


def test_every_key_has_the_default_of_existing_relays() -> None:
    config, ignored = parse_config(MINIMAL, "chatmail.ini")
    assert dataclasses.asdict(config) == DEFAULTS
    assert ignored == []


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("mail_domain", "Example.ORG", "example.org"),
        ("mail_domain", "_relay.test", "_relay.test"),
        ("mail_domain", "192.0.2.1", "[192.0.2.1]"),
        ("mail_domain", "XN--bcher-kva.example", "xn--bcher-kva.example"),
        ("mail_domain", "[IPv6:2001:DB8::0:1]", "[ipv6:2001:db8::1]"),
        ("max_user_send_per_minute", "120", 120),
        ("max_mailbox_size", "1G", 1 << 30),
        ("max_mailbox_size", "0", 0),
        ("max_message_size", "30 MB", 30 << 20),
        ("max_message_size", "500k", 500 << 10),
        ("max_message_size", "2T", 2 << 40),
        ("max_message_size", "12345", 12345),
        ("delete_inactive_users_after", "36500", 36500),
        ("max_load_1m", "0.75", 0.75),
        ("disable_ipv6", "True", True),
        ("disable_ipv6", "yes", True),
        ("imap_rawlog", "FALSE", False),
        ("imap_compress", "no", False),
        ("acme_email", "someone@example.org", "someone@example.org"),
        ("tls_external_cert_and_key", "", None),
        (
            "tls_external_cert_and_key",
            "/etc/ssl/chain.pem   /etc/ssl/key.pem",
            CertificateFiles(Path("/etc/ssl/chain.pem"), Path("/etc/ssl/key.pem")),
        ),
        ("acme_directory", "https://localhost:14000/dir", "https://localhost:14000/dir"),
        ("www_folder", "", ""),
        ("iroh_relay", "http://127.0.0.1:3340", "http://127.0.0.1:3340"),
        ("iroh_relay", "", None),
        ("mailboxes_dir", "/srv/mail", Path("/srv/mail")),
        ("turn_socket_path", "/run/turn.socket", Path("/run/turn.socket")),
        ("turn_socket_path", "", None),
        ("nocreate_path", "/run/closed", Path("/run/closed")),
        ("push_gateway", "http://[::1]:8080/notify", "http://[::1]:8080/notify"),
        ("filtermail_smtp_port", "65535", 65535),
        ("username_max_length", "64", 64),
        ("privacy_postal", "Street 1\n  12345 Town", "Street 1\n12345 Town"),
        ("privacy_pdo", "\n  Someone\n  Street 1\n", "Someone\nStreet 1"),
        ("privacy_mail", "a = b # c", "a = b # c"),
    ],
)
def test_a_value_is_read_as_its_kind(key: str, text: str, value: object) -> None:
    head = "" if key == "mail_domain" else "mail_domain = example.org\n"
    config, _ = parse_config(f"[params]\n{head}{key} = {text}\n", "chatmail.ini")
    assert getattr(config, key) == value


def test_what_follows_from_the_domain() -> None:
    for literal in ("[192.0.2.1]", "192.0.2.1"):
        config, _ = parse_config(f"[params]\nmail_domain = {literal}\n", "chatmail.ini")
        assert config.mailboxes_dir == Path("/home/vmail/mail/[192.0.2.1]")


def test_the_configuration_cannot_be_changed() -> None:
    config, _ = parse_config(MINIMAL, "chatmail.ini")
    with pytest.raises(AttributeError):
        config.mail_domain = "other.example"  # type: ignore[misc]


def test_the_file_of_an_existing_relay_is_read_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "chatmail.ini"
    path.write_text(
        "[params]\n\n# mail domain (MUST be set to fully qualified chat mail domain)\n"
        "mail_domain = chat.example.org\n\n"
        "#\n# Account Restrictions\n#\n"
        "max_user_send_per_minute = 60\nmax_mailbox_size = 500M\n\n"
        "# list of e-mail recipients for which to accept outbound un-encrypted mails\n"
        "passthrough_senders =\npassthrough_recipients = echo@{mail_domain}\n"
        "privacy_postal =\n  Linus Example\n  Street 1\nimap_rawlog = false\n"
    )
    with caplog.at_level(logging.WARNING):
        config = read_config(path)
    assert config.privacy_postal == "Linus Example\nStreet 1"
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "key 'passthrough_senders' is ignored",
        "key 'passthrough_recipients' is ignored",
    ]
    assert caplog.records[0].getMessage().startswith(str(path))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_an_error_that_names_place_key_and_what_is_allowed(path: Path) -> None:
    expected = path.read_text().splitlines()[0].removeprefix("# expect ")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}{expected}")


def test_the_bad_files_are_there() -> None:
    assert len(BAD) >= 20


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.ini: cannot be read: No such file or directory$"):
        read_config(tmp_path / "none.ini")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        read_config(tmp_path)


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "chatmail.ini"
    path.write_bytes(MINIMAL.encode() + b"privacy_mail = \xff\xfe\n")
    with pytest.raises(ConfigError, match=r"chatmail\.ini: is not UTF-8 text$"):
        read_config(path)
