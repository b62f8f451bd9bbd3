"""Deliveries that were noted, as no report of them was answered, are pushed all the same."""

from pathlib import Path

import pytest

from metadata import notes
from metadata.notes import NOTES, TAKEN, Notes
from relay.dovecot.dictserver import DictFailure
from tests.metadata.conftest import DOMAIN, Service
from tests.metadata.gateway import Gateway
from tests.support import eventually

ALICE = f"alice@{DOMAIN}"


def store_token(mail: Path) -> None:
    (mail / ALICE / "metadata.json").write_text('{"devicetoken": {"token": 4000000000}}')


@pytest.mark.parametrize("name", [NOTES, TAKEN])
async def test_what_was_noted_before_the_start(
    name: str, service: Service, mail: Path, gateway: Gateway
) -> None:
    """Also what an earlier process was reading when it was killed."""
    store_token(mail)
    (mail / name).write_text(f"{ALICE}\n{ALICE}\nnobody@{DOMAIN}\nnot an address\n\n{ALICE[:4]}")
    await service.start(push_gateway=gateway.url)
    await eventually(lambda: gateway.received == ["token"], "the push")
    await eventually(lambda: not (mail / name).exists(), "the notes to go")


async def test_what_is_noted_later(
    service: Service, mail: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "LOOK_SECONDS", 0.05)
    store_token(mail)
    await service.start(push_gateway=gateway.url)
    (mail / NOTES).write_text(f"{ALICE}\n")
    await eventually(lambda: gateway.received == ["token"], "the push")
    await eventually(lambda: not (mail / TAKEN).exists(), "the notes to go")
    (mail / NOTES).write_text(f"{ALICE}\n")
    await eventually(lambda: gateway.received == ["token"] * 2, "the second push")


async def test_notes_go_only_once_their_pushes_are_owed(mail: Path) -> None:
    async def killed(_address: str) -> None:
        raise KeyboardInterrupt

    (mail / NOTES).write_text(f"{ALICE}\n")
    with pytest.raises(KeyboardInterrupt):
        await Notes(mail, killed).settle()
    owed: list[str] = []

    async def owe(address: str) -> None:
        owed.append(address)

    await Notes(mail, owe).settle()
    assert owed == [ALICE]
    assert not (mail / TAKEN).exists()


async def test_a_mailbox_that_cannot_be_read_holds_up_no_other(mail: Path) -> None:
    owed: list[str] = []

    async def owe(address: str) -> None:
        if address == ALICE:
            raise DictFailure("not now")
        owed.append(address)

    (mail / NOTES).write_text(f"{ALICE}\nbob@{DOMAIN}\n")
    await Notes(mail, owe).settle()
    assert owed == [f"bob@{DOMAIN}"]


async def test_notes_that_cannot_be_read_stop_nothing(
    service: Service,
    mail: Path,
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notes, "LOOK_SECONDS", 0.05)
    store_token(mail)
    (mail / TAKEN).symlink_to(mail / ".postern")
    await service.start(push_gateway=gateway.url)
    await eventually(lambda: "notes of deliveries cannot be read" in caplog.text, "the warning")
    (mail / TAKEN).unlink()
    (mail / NOTES).write_text(f"{ALICE}\n")
    await eventually(lambda: gateway.received == ["token"], "the push")
