import asyncio
import json
import logging
import os
import time
from pathlib import Path

import pytest

from metadata.store import GRAIN, NoMailbox, TokenStore
from metadata.tokens import LIFETIME, InvalidToken
from relay.mailbox import Mailboxes, Owner

ALICE = "alice@example.org"
NOW = 1_800_000_000


def stored(mail: Path, user: str = ALICE) -> dict[str, object]:
    content: dict[str, object] = json.loads((mail / user / "metadata.json").read_text())
    return content


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_tokens_are_kept_as_existing_relays_keep_them(tokens: TokenStore, mail: Path) -> None:
    await tokens.add(ALICE, "one", NOW)
    await tokens.add(ALICE, "two", NOW + 5)
    assert await tokens.valid(ALICE, NOW + 5) == ("one", "two")
    assert stored(mail) == {"devicetoken": {"one": NOW, "two": NOW + 5}}
    assert [path.name for path in (mail / ALICE).iterdir()] == ["metadata.json"]
    assert (mail / ALICE / "metadata.json").stat().st_mode & 0o777 == 0o600


async def test_another_process_finds_them(tokens: TokenStore, mail: Path, owner: Owner) -> None:
    await tokens.add(ALICE, "one", NOW)
    other = TokenStore(Mailboxes(mail, "example.org"), owner)
    assert await other.valid(ALICE, NOW) == ("one",)
    other.close()


async def test_the_older_list_has_the_age_of_its_file(tokens: TokenStore, mail: Path) -> None:
    path = mail / ALICE / "metadata.json"
    path.write_text('{"devicetoken": ["a", "b"], "else": 1}')
    os.utime(path, (NOW, NOW))
    assert await tokens.valid(ALICE, NOW + LIFETIME - 1) == ("a", "b")
    assert await tokens.valid(ALICE, NOW + LIFETIME) == ()
    await tokens.remove(ALICE, "a")
    assert stored(mail) == {"devicetoken": {"b": NOW}, "else": 1}


async def test_reading_never_writes(tokens: TokenStore, mail: Path) -> None:
    path = mail / ALICE / "metadata.json"
    assert await tokens.valid(ALICE, NOW) == ()
    assert not path.exists()
    for text in ('{"devicetoken": {"old": 1, "new": 1800000000}}', "{broken"):
        path.write_text(text)
        before = path.stat()
        await tokens.valid(ALICE, NOW)
        after = path.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert path.read_text() == text
        assert [entry.name for entry in (mail / ALICE).iterdir()] == ["metadata.json"]


async def test_a_token_set_again_soon_is_not_written_again(tokens: TokenStore, mail: Path) -> None:
    await tokens.add(ALICE, "one", NOW)
    inode = (mail / ALICE / "metadata.json").stat().st_ino
    await tokens.add(ALICE, "one", NOW + GRAIN - 1)
    assert (mail / ALICE / "metadata.json").stat().st_ino == inode
    await tokens.add(ALICE, "one", NOW + GRAIN)
    assert stored(mail) == {"devicetoken": {"one": NOW + GRAIN}}
    # The clock was set back: a time in the future would hold the token for too long.
    await tokens.add(ALICE, "one", NOW)
    assert stored(mail) == {"devicetoken": {"one": NOW}}


@pytest.mark.parametrize(
    "user",
    ["bob@example.org", "alice@other.org", "", "alice", "../x@example.org", "a/b@example.org"],
)
async def test_only_for_mailboxes_that_exist(tokens: TokenStore, mail: Path, user: str) -> None:
    assert await tokens.valid(user, NOW) == ()
    for change in (tokens.add(user, "one", NOW), tokens.remove(user, "one")):
        with pytest.raises(NoMailbox):
            await change
    assert names(mail) == [ALICE]
    assert names(mail.parent) == ["mail"]


async def test_a_bad_token_is_not_stored(tokens: TokenStore, mail: Path) -> None:
    with pytest.raises(InvalidToken):
        await tokens.add(ALICE, "a b", NOW)
    assert not (mail / ALICE / "metadata.json").exists()


@pytest.mark.parametrize("content", [b"{broken", b"[]", b"\xff\xfe", b""])
async def test_a_corrupt_file_is_set_aside_and_reported(
    tokens: TokenStore, mail: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = mail / ALICE / "metadata.json"
    for number in (1, 2):
        path.write_bytes(content)
        caplog.clear()
        assert await tokens.valid(ALICE, NOW) == ()
        assert "corrupt" in caplog.text
        caplog.clear()
        await tokens.add(ALICE, f"new{number}", NOW)
        assert (mail / ALICE / f"metadata.json.corrupt-{number}").read_bytes() == content
        assert stored(mail) == {"devicetoken": {f"new{number}": NOW}}
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "alice" not in caplog.text


async def test_concurrent_changes_lose_nothing(tokens: TokenStore, mail: Path) -> None:
    (mail / "bob@example.org").mkdir()
    users = (ALICE, "bob@example.org")
    for user in users:
        for number in range(12):
            await tokens.add(user, f"old{number}", NOW)
    changes = [tokens.add(user, f"new{n}", NOW) for n in range(12) for user in users]
    changes += [tokens.remove(user, f"old{n}") for n in range(12) for user in users]
    await asyncio.gather(*changes)
    for user in users:
        assert set(await tokens.valid(user, NOW)) == {f"new{n}" for n in range(12)}


async def test_readers_never_see_a_half_written_file(tokens: TokenStore, mail: Path) -> None:
    await tokens.add(ALICE, "always", NOW)
    writing = asyncio.gather(*(tokens.add(ALICE, f"{n}" * 1000, NOW) for n in range(20)))
    reads = 0
    while not writing.done():
        assert "always" in await tokens.valid(ALICE, NOW)
        reads += 1
    await writing
    assert reads > 0


async def test_a_disk_that_fails_leaves_the_old_file(tokens: TokenStore, mail: Path) -> None:
    await tokens.add(ALICE, "one", NOW)
    # A directory where the file should be is the failure that root meets as well.
    path = mail / "bob@example.org" / "metadata.json"
    path.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        await tokens.add("bob@example.org", "one", NOW)
    with pytest.raises(OSError, match="directory"):
        await tokens.valid("bob@example.org", NOW)
    assert await tokens.valid(ALICE, NOW) == ("one",)


async def test_a_slow_disk_does_not_hold_up_the_loop(tokens: TokenStore, mail: Path) -> None:
    # A FIFO without a writer blocks whoever opens it for reading.
    path = mail / ALICE / "metadata.json"
    os.mkfifo(path)
    reading = asyncio.ensure_future(tokens.valid(ALICE, NOW))
    begun = time.monotonic()
    for _ in range(100):
        await asyncio.sleep(0)
    assert time.monotonic() - begun < 5
    assert not reading.done()
    with path.open("w") as writer:
        writer.write('{"devicetoken": {"slow": 1800000000}}')
    assert await reading == ("slow",)
