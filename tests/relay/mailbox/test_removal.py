"""A mailbox that was set aside comes back, whatever was delivered meanwhile."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from relay.mailbox import removal
from relay.mailbox.directory import PASSWORD, Mailbox
from relay.owner import Owner
from tests.support import DEADLINE

HASH = "{SHA512-CRYPT}$6$salt$hash"
MYSELF = Owner(os.geteuid(), os.getegid())


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    mailbox = Mailbox(tmp_path / "someone12@example.org")
    mailbox.create(HASH, MYSELF, 0)
    for folder in ("", ".DeltaChat"):
        (mailbox.path / folder / "cur").mkdir(parents=True)
        (mailbox.path / folder / "cur" / "old").write_text("old")
    (mailbox.path / "dovecot-uidlist").write_text("3 V1 N3 G1")
    return mailbox


def deliver(path: Path, name: str, folder: str = "") -> None:
    """As Dovecot does with a place that it was told before."""
    for part in ("cur", "new", "tmp"):
        (path / folder / part).mkdir(parents=True, exist_ok=True)
    (path / folder / "new" / name).write_text(name)
    (path / "dovecot-uidlist").write_text("3 V2 N2 G2")


def messages(path: Path) -> set[str]:
    return {str(each.relative_to(path)) for each in path.rglob("*/*") if each.is_file()}


def test_it_comes_back_as_it_was(mailbox: Mailbox) -> None:
    assert mailbox.exists()
    assert removal.set_aside(mailbox.path)
    assert mailbox.exists()
    assert not mailbox.path.exists(), "to ask moves nothing"
    assert not Mailbox(mailbox.path.with_name("another12@example.org")).exists()
    assert mailbox.recover_and_read() == HASH
    assert messages(mailbox.path) == {"cur/old", ".DeltaChat/cur/old"}
    assert not removal.bring_back(mailbox.path)


def test_a_delivery_meanwhile_keeps_neither_account_nor_message_away(mailbox: Mailbox) -> None:
    removal.set_aside(mailbox.path)
    deliver(mailbox.path, "new")
    deliver(mailbox.path, "other", ".Folder")
    assert mailbox.recover_and_read() == HASH
    assert messages(mailbox.path) == {
        "cur/old",
        ".DeltaChat/cur/old",
        "new/new",
        ".Folder/new/other",
    }
    assert (mailbox.path / "dovecot-uidlist").read_text() == "3 V1 N3 G1"
    assert [path.name for path in mailbox.path.parent.iterdir()] == [mailbox.path.name]


def test_a_login_is_recorded_after_such_a_delivery(mailbox: Mailbox) -> None:
    removal.set_aside(mailbox.path)
    deliver(mailbox.path, "new")
    mailbox.record_login(1795332101)
    assert mailbox.last_login() == 1795305600
    assert (mailbox.path / "new" / "new").exists()


def test_an_account_in_its_place_is_left_alone(mailbox: Mailbox) -> None:
    removal.set_aside(mailbox.path)
    mailbox.path.mkdir()
    (mailbox.path / PASSWORD).write_text("{PLAIN}x")
    assert not removal.bring_back(mailbox.path)
    assert mailbox.recover_and_read() == "{PLAIN}x"
    assert removal.aside_of(mailbox.path).exists()


def test_a_link_in_its_place_is_not_followed(mailbox: Mailbox, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    deliver(outside, "precious")
    removal.set_aside(mailbox.path)
    deliver(mailbox.path, "new")
    (mailbox.path / ".Link").symlink_to(outside)
    assert removal.bring_back(mailbox.path)
    assert (outside / "new" / "precious").exists()


@pytest.mark.parametrize("delivered", [True, False] * 5)
def test_of_many_at_once_none_loses_anything(mailbox: Mailbox, delivered: bool) -> None:
    removal.set_aside(mailbox.path)
    if delivered:
        deliver(mailbox.path, "new")
    together = Barrier(8)

    def recover(_number: int) -> str | None:
        together.wait(DEADLINE)
        return mailbox.recover_and_read()

    with ThreadPoolExecutor(8) as threads:
        held = list(threads.map(recover, range(8)))
    assert set(held) == {HASH}, "nobody was unknown for a moment"
    assert messages(mailbox.path) >= {"cur/old", *(["new/new"] if delivered else [])}
    assert [path.name for path in mailbox.path.parent.iterdir()] == [mailbox.path.name]
