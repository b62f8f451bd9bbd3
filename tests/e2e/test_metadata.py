"""METADATA and push, over a real IMAP session."""

import imaplib
import secrets

import pytest

from sandbox import arrivals
from sandbox.clients import DEVICE_TOKEN, Imap
from sandbox.login import Login, fresh_login
from sandbox.relay import Sandbox
from tests.e2e.tools import encrypted, register, send, wait_for_ids

pytestmark = pytest.mark.e2e
SHARED = "/shared/vendor/deltachat/"


def _token() -> str:
    return f"openpgp:{secrets.token_hex(40)}"


def test_the_keys_that_clients_ask_for(sandbox: Sandbox, login: Login) -> None:
    with Imap(sandbox.ports, login) as imap:
        recipients = imap.get_metadata('""', f"{SHARED}maxsmtprecipients")
        unset = [imap.get_metadata('""', SHARED + key) for key in ("irohrelay", "turn", "other")]
    assert b"1000" in recipients
    assert all(b"NIL" in answer for answer in unset)


def test_tokens_are_kept_side_by_side(sandbox: Sandbox, login: Login) -> None:
    first, second = _token(), _token()
    with Imap(sandbox.ports, login) as imap:
        for token in (first, second, first):
            imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    with Imap(sandbox.ports, login) as imap:
        told = imap.get_metadata("INBOX", DEVICE_TOKEN).decode()
    assert {first, second} <= set(told.replace("(", " ").replace(")", " ").split())


def test_a_token_of_4096_characters_is_kept(sandbox: Sandbox, login: Login) -> None:
    token = "x" * 4096
    with Imap(sandbox.ports, login) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
        assert token.encode() in imap.get_metadata("INBOX", DEVICE_TOKEN)


def test_tokens_are_their_owners_in_every_mailbox(sandbox: Sandbox, login: Login) -> None:
    token, other = _token(), fresh_login(sandbox.domain)
    with Imap(sandbox.ports, login) as imap:
        imap.create("elsewhere")
        imap.set_metadata("elsewhere", DEVICE_TOKEN, token)
        assert token.encode() in imap.get_metadata("INBOX", DEVICE_TOKEN)
    with Imap(sandbox.ports, other) as imap:
        assert b"NIL" in imap.get_metadata("INBOX", DEVICE_TOKEN)
        for foreign in (
            f"user/{login.address}",
            f"../{login.address}",
            f"../{login.address}/INBOX",
        ):
            with pytest.raises(imaplib.IMAP4.error):
                imap.get_metadata(f'"{foreign}"', DEVICE_TOKEN)


def test_an_entry_that_is_not_ours_is_ignored(sandbox: Sandbox, login: Login) -> None:
    with Imap(sandbox.ports, login) as imap:
        imap.set_metadata("INBOX", "/private/somethingelse", "x")
        assert b"NIL" in imap.get_metadata("INBOX", "/private/somethingelse")


def test_a_message_from_others_pushes_and_an_own_one_does_not(
    sandbox: Sandbox, login: Login
) -> None:
    token = _token()
    with Imap(sandbox.ports, login) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    other = fresh_login(sandbox.domain)
    send(sandbox, login, [login.address], encrypted(login, "own"))
    wait_for_ids(sandbox, login, ["own"])
    send(sandbox, other, [login.address], encrypted(other, "others"))
    arrivals.wait_for_token(sandbox.ports["gateway"], token)
    # Pushes of one address come in the order of its messages: an own one's would be there.
    assert arrivals.tokens(sandbox.ports["gateway"]).count(token) == 1


def test_the_first_message_after_a_restart_pushes_too(sandbox: Sandbox, login: Login) -> None:
    """Dovecot's connections to the old process are broken, which each finds out by using it."""
    token = _token()
    with Imap(sandbox.ports, login) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    other = fresh_login(sandbox.domain)
    for number in range(2):
        send(sandbox, other, [login.address], encrypted(other))
        arrivals.wait_for_token(sandbox.ports["gateway"], token, count=number + 1)
        sandbox.kill("metadata")
        sandbox.restart("metadata")
    send(sandbox, other, [login.address], encrypted(other))
    arrivals.wait_for_token(sandbox.ports["gateway"], token, count=3)


def test_a_delivery_does_not_need_the_metadata_service(sandbox: Sandbox, login: Login) -> None:
    other = fresh_login(sandbox.domain)
    register(sandbox, login)
    sandbox.kill("metadata")
    try:
        send(sandbox, other, [login.address], encrypted(other, "delivered-all-the-same"))
        wait_for_ids(sandbox, login, ["delivered-all-the-same"])
    finally:
        sandbox.restart("metadata")


def test_no_code_is_loaded_from_a_mailbox(sandbox: Sandbox, login: Login) -> None:
    """Deliveries run with the mailbox as working directory, where Lua looks for modules too."""
    token = _token()
    with Imap(sandbox.ports, login) as imap:
        imap.set_metadata("INBOX", DEVICE_TOKEN, token)
    planted = sandbox.layout.mail / login.address / "socket"
    planted.mkdir()
    (planted / "unix.lua").write_text("error('loaded')\n")
    planted.chmod(0o755)
    other = fresh_login(sandbox.domain)
    send(sandbox, other, [login.address], encrypted(other, "with-a-plant"))
    arrivals.wait_for_token(sandbox.ports["gateway"], token)
