"""Delta Chat cores use the relay."""

import secrets
from pathlib import Path

import pytest
from deltachat_rpc_client import DeltaChat
from deltachat_rpc_client.const import MessageState

from sandbox.login import Login, fresh_login
from sandbox.phone import Phone, log_in
from sandbox.relay import Sandbox
from tests.e2e.tools import register

pytestmark = pytest.mark.e2e


def test_friends_chat_both_ways_with_padlock(friends: tuple[Phone, Phone]) -> None:
    for sender, receiver in (friends, friends[::-1]):
        text = f"hello {secrets.token_hex(8)}"
        sender.account.create_chat(receiver.account).send_text(text)
        assert receiver.wait_for_text(text).show_padlock


def test_a_large_file_arrives_whole(friends: tuple[Phone, Phone], tmp_path: Path) -> None:
    sender, receiver = friends
    content = secrets.token_bytes(5 << 20)
    file = tmp_path / "large.bin"
    file.write_bytes(content)
    text = f"large {secrets.token_hex(8)}"
    sender.account.create_chat(receiver.account).send_message(text=text, file=str(file))
    message = receiver.wait_for_download(receiver.wait_for_text(text).id)
    assert message.show_padlock
    assert Path(message.file).read_bytes() == content


def test_a_group_reaches_everybody(
    sandbox: Sandbox, manager: DeltaChat, friends: tuple[Phone, Phone]
) -> None:
    alice, bob = friends
    (carol,) = log_in(manager, [fresh_login(sandbox.domain).link(sandbox.ports)])
    group = alice.account.create_group("everybody")
    for member in (bob, carol):
        group.add_contact(alice.account.create_contact(member.account))
    text = f"to all {secrets.token_hex(8)}"
    group.send_text(text)
    for member in (bob, carol):
        assert member.wait_for_text(text).show_padlock


def test_a_core_is_told_that_cleartext_is_refused(
    sandbox: Sandbox, manager: DeltaChat, login: Login
) -> None:
    (phone,) = log_in(manager, [fresh_login(sandbox.domain).link(sandbox.ports)])
    register(sandbox, login)
    phone.account.set_config("force_encryption", "0")
    chat = phone.account.create_contact(login.address, "somebody").create_chat()
    message = chat.send_text("this is cleartext")
    phone.wait_for_state(message, MessageState.OUT_FAILED)
    assert "Invalid Unencrypted Mail" in message.get_snapshot().error
