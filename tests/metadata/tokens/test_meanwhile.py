"""What happens to a mailbox in the middle of a change of its tokens: slow, set aside, removed."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from metadata.tokens import files as store
from metadata.tokens.files import FileTokenStore
from metadata.tokens.protocol import NoMailbox, TokensUnavailable
from metadata.tokens.tokenset import TokenSet
from relay.mailbox import removal
from relay.mailbox.directory import MARK, Mailboxes
from relay.owner import Owner
from tests.support import DEADLINE

ALICE = "alice@example.org"
NOW = 1_800_000_000


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class Gate:
    """Holds a thread at the moment that its tokens have been read, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, below: Path | None = None) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()
        read = store._read

        def held(path: str | Path, now: int, place: int | None = None) -> TokenSet:
            tokens = read(path, now, place)
            if below is not None and below not in Path(path).parents:
                return tokens
            self.reached.set()
            assert self.go.wait(DEADLINE)
            return tokens

        monkeypatch.setattr(store, "_read", held)


async def change_while(
    monkeypatch: pytest.MonkeyPatch, change: Awaitable[None], meanwhile: Callable[[], object]
) -> None:
    """Have something happen to the mailbox in the middle of a change of its tokens."""
    gate = Gate(monkeypatch)
    changing = asyncio.ensure_future(change)
    assert await asyncio.to_thread(gate.reached.wait, DEADLINE)
    meanwhile()
    gate.go.set()
    await changing


async def test_a_slow_mailbox_holds_up_neither_the_loop_nor_another(
    mail: Path, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many messages come for it: it has one thread, and callers wait for so long only."""
    (mail / "bob@example.org").mkdir()
    tokens = FileTokenStore(Mailboxes(mail, "example.org"), owner, patience=0.3)
    await tokens.add("bob@example.org", ["bobs"], NOW)
    await tokens.add(ALICE, ["slow"], NOW)
    gate = Gate(monkeypatch, mail / ALICE)
    reading = [asyncio.ensure_future(tokens.valid(ALICE, NOW)) for _ in range(50)]
    assert await asyncio.to_thread(gate.reached.wait, DEADLINE)
    assert await tokens.valid("bob@example.org", NOW) == ("bobs",)
    for each in reading:
        with pytest.raises(TokensUnavailable, match="does not answer"):
            await each
    gate.go.set()
    assert await tokens.valid(ALICE, NOW) == ("slow",)
    await tokens.close()


async def test_a_mailbox_that_hangs_does_not_hold_up_the_end(
    tokens: FileTokenStore, mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_CLOSE_SECONDS", 0.1)
    gate = Gate(monkeypatch, mail / ALICE)
    reading = asyncio.ensure_future(tokens.valid(ALICE, NOW))
    assert await asyncio.to_thread(gate.reached.wait, DEADLINE)
    async with asyncio.timeout(5):
        await tokens.close()
    gate.go.set()
    assert await reading == ()


@pytest.mark.parametrize("kind", ["fifo", "link"])
async def test_what_is_no_file_is_not_read(tokens: FileTokenStore, mail: Path, kind: str) -> None:
    """A FIFO without a writer would block its reader, and a link may lead anywhere."""
    path = mail / ALICE / "metadata.json"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/passwd")
    with pytest.raises(TokensUnavailable, match="regular"):
        await tokens.valid(ALICE, NOW)


async def test_a_mailbox_that_is_put_aside_meanwhile_takes_the_token_along(
    tokens: FileTokenStore, mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mail / ALICE
    await change_while(
        monkeypatch, tokens.add(ALICE, ["one"], NOW), lambda: removal.set_aside(path)
    )
    assert set(names(mail)) == {MARK, removal.aside_of(path).name}
    assert removal.bring_back(path)
    monkeypatch.undo()
    assert await tokens.valid(ALICE, NOW) == ("one",)
    assert names(path) == ["metadata.json"]


async def test_a_mailbox_that_is_removed_meanwhile_stays_removed(
    tokens: FileTokenStore, mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoMailbox):
        await change_while(
            monkeypatch, tokens.add(ALICE, ["one"], NOW), lambda: removal.remove(mail / ALICE)
        )
    assert names(mail) == [MARK]


async def test_an_address_made_anew_meanwhile_has_no_token_of_the_old_one(
    tokens: FileTokenStore, mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mail / ALICE

    def remove_and_make_anew() -> None:
        removal.set_aside(path)
        path.mkdir()

    await change_while(monkeypatch, tokens.add(ALICE, ["one"], NOW), remove_and_make_anew)
    assert names(path) == []


async def test_sets_beside_expiry_resurrect_no_mailbox(tokens: FileTokenStore, mail: Path) -> None:
    for number in range(40):
        (mail / ALICE).mkdir(exist_ok=True)
        adding = [tokens.add(ALICE, [f"{number}-{n}"], NOW) for n in range(4)]
        done = asyncio.gather(*adding, return_exceptions=True)
        removing = asyncio.to_thread(
            removal.remove if number % 2 else removal.set_aside, mail / ALICE
        )
        with contextlib.suppress(OSError):
            # Who deletes a directory into which a file is put meanwhile tells so, and tries again.
            await removing
        for outcome in await done:
            assert outcome is None or isinstance(outcome, NoMailbox)
        assert not (mail / ALICE).exists()
        for rest in mail.iterdir():
            if rest.name != MARK:
                removal.delete_tree(rest)
