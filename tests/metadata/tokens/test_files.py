import asyncio
import contextlib
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from metadata.tokens import files as store
from metadata.tokens.files import GRAIN, FileTokenStore
from metadata.tokens.protocol import NoMailbox, TokensUnavailable
from metadata.tokens.tokenset import LIFETIME, InvalidToken, TokenSet
from relay.mailbox import removal
from relay.mailbox.directory import MARK, Mailboxes
from relay.owner import Owner
from tests.support import DEADLINE

ALICE = "alice@example.org"
NOW = 1_800_000_000


def stored(mail: Path, user: str = ALICE) -> dict[str, object]:
    content: dict[str, object] = json.loads((mail / user / "metadata.json").read_text())
    return content


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_tokens_are_kept_as_existing_relays_keep_them(
    tokens: FileTokenStore, mail: Path
) -> None:
    await tokens.add(ALICE, ["one"], NOW)
    await tokens.add(ALICE, ["two"], NOW + 5)
    assert await tokens.valid(ALICE, NOW + 5) == ("one", "two")
    assert stored(mail) == {"devicetoken": {"one": NOW, "two": NOW + 5}}
    assert [path.name for path in (mail / ALICE).iterdir()] == ["metadata.json"]
    assert (mail / ALICE / "metadata.json").stat().st_mode & 0o777 == 0o600


async def test_another_process_finds_them(tokens: FileTokenStore, mail: Path, owner: Owner) -> None:
    await tokens.add(ALICE, ["one"], NOW)
    other = FileTokenStore(Mailboxes(mail, "example.org"), owner)
    assert await other.valid(ALICE, NOW) == ("one",)
    await other.close()


async def test_the_older_list_holds_until_its_file_is_written(
    tokens: FileTokenStore, mail: Path
) -> None:
    """A relay that is taken over may have written it years ago, and its phones are there still."""
    path = mail / ALICE / "metadata.json"
    path.write_text('{"devicetoken": ["a", "b"], "else": 1}')
    os.utime(path, (1, 1))
    assert await tokens.valid(ALICE, NOW) == ("a", "b")
    before = int(time.time())
    await tokens.remove(ALICE, "a")
    content = stored(mail)
    assert content["else"] == 1
    dated = content["devicetoken"]
    assert isinstance(dated, dict)
    assert list(dated) == ["b"]
    assert before <= dated["b"] <= time.time()
    assert await tokens.valid(ALICE, dated["b"] + LIFETIME - 1) == ("b",)
    assert await tokens.valid(ALICE, dated["b"] + LIFETIME) == ()


async def test_reading_never_writes(tokens: FileTokenStore, mail: Path) -> None:
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


async def test_a_token_set_again_soon_is_not_written_again(
    tokens: FileTokenStore, mail: Path
) -> None:
    await tokens.add(ALICE, ["one"], NOW)
    inode = (mail / ALICE / "metadata.json").stat().st_ino
    await tokens.add(ALICE, ["one"], NOW + GRAIN - 1)
    assert (mail / ALICE / "metadata.json").stat().st_ino == inode
    await tokens.add(ALICE, ["one"], NOW + GRAIN)
    assert stored(mail) == {"devicetoken": {"one": NOW + GRAIN}}
    # The clock was set back: a time in the future would hold the token for too long.
    await tokens.add(ALICE, ["one"], NOW)
    assert stored(mail) == {"devicetoken": {"one": NOW}}


@pytest.mark.parametrize(
    "user",
    ["bob@example.org", "alice@other.org", "", "alice", "../x@example.org", "a/b@example.org"],
)
async def test_only_for_mailboxes_that_exist(tokens: FileTokenStore, mail: Path, user: str) -> None:
    assert await tokens.valid(user, NOW) == ()
    for change in (tokens.add(user, ["one"], NOW), tokens.remove(user, "one")):
        with pytest.raises(NoMailbox):
            await change
    assert names(mail) == [MARK, ALICE]
    assert names(mail.parent) == ["mail"]


async def test_a_bad_token_is_not_stored(tokens: FileTokenStore, mail: Path) -> None:
    with pytest.raises(InvalidToken):
        await tokens.add(ALICE, ["a b"], NOW)
    assert not (mail / ALICE / "metadata.json").exists()


@pytest.mark.parametrize("content", [b"{broken", b"[]", b"\xff\xfe", b""])
async def test_a_corrupt_file_is_set_aside_and_reported(
    tokens: FileTokenStore, mail: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = mail / ALICE / "metadata.json"
    for number in (1, 2):
        path.write_bytes(content)
        caplog.clear()
        assert await tokens.valid(ALICE, NOW) == ()
        assert "corrupt" in caplog.text
        caplog.clear()
        await tokens.add(ALICE, [f"new{number}"], NOW)
        assert (mail / ALICE / f"metadata.json.corrupt-{number}").read_bytes() == content
        assert stored(mail) == {"devicetoken": {f"new{number}": NOW}}
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "alice" not in caplog.text


async def test_concurrent_changes_lose_nothing(tokens: FileTokenStore, mail: Path) -> None:
    (mail / "bob@example.org").mkdir()
    users = (ALICE, "bob@example.org")
    for user in users:
        for number in range(12):
            await tokens.add(user, [f"old{number}"], NOW)
    changes = [tokens.add(user, [f"new{n}"], NOW) for n in range(12) for user in users]
    changes += [tokens.remove(user, f"old{n}") for n in range(12) for user in users]
    await asyncio.gather(*changes)
    for user in users:
        assert set(await tokens.valid(user, NOW)) == {f"new{n}" for n in range(12)}


async def test_readers_never_see_a_half_written_file(tokens: FileTokenStore, mail: Path) -> None:
    await tokens.add(ALICE, ["always"], NOW)
    writing = asyncio.gather(*(tokens.add(ALICE, [f"{n}" * 1000], NOW) for n in range(20)))
    reads = 0
    while not writing.done():
        assert "always" in await tokens.valid(ALICE, NOW)
        reads += 1
    await writing
    assert reads > 0


async def test_a_disk_that_fails_leaves_the_old_file(tokens: FileTokenStore, mail: Path) -> None:
    await tokens.add(ALICE, ["one"], NOW)
    # A directory where the file should be is the failure that root meets as well.
    path = mail / "bob@example.org" / "metadata.json"
    path.mkdir(parents=True)
    with pytest.raises(TokensUnavailable, match="regular"):
        await tokens.add("bob@example.org", ["one"], NOW)
    with pytest.raises(TokensUnavailable, match="regular"):
        await tokens.valid("bob@example.org", NOW)
    assert await tokens.valid(ALICE, NOW) == ("one",)


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


async def test_what_a_crash_left_behind_is_written_over(tokens: FileTokenStore, mail: Path) -> None:
    (mail / ALICE / "metadata.json.new").write_text('{"devicetoken": {"half')
    await tokens.add(ALICE, ["one"], NOW)
    assert stored(mail) == {"devicetoken": {"one": NOW}}
    assert names(mail / ALICE) == ["metadata.json"]


async def test_a_link_in_the_drafts_place_is_not_followed(
    tokens: FileTokenStore, mail: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (mail / ALICE / "metadata.json.new").symlink_to(precious)
    await tokens.add(ALICE, ["one"], NOW)
    assert precious.read_text() == "kept"
    assert stored(mail) == {"devicetoken": {"one": NOW}}


@pytest.mark.parametrize("root_is_gone", [True, False])
async def test_a_disk_that_is_not_mounted_is_temporary_and_gets_no_directory(
    tokens: FileTokenStore, mail: Path, root_is_gone: bool
) -> None:
    """Its mount point may be there, empty, or not."""
    await tokens.add(ALICE, ["one"], NOW)
    mail.rename(mail.with_name("disk"))
    if not root_is_gone:
        mail.mkdir()
    for refused in (
        tokens.valid(ALICE, NOW),
        tokens.add(ALICE, ["two"], NOW),
        tokens.remove(ALICE, "one"),
    ):
        with pytest.raises(TokensUnavailable, match="mount the disk"):
            await refused
    assert mail.exists() is not root_is_gone
    assert root_is_gone or names(mail) == []
    if not root_is_gone:
        mail.rmdir()
    mail.with_name("disk").rename(mail)
    assert await tokens.valid(ALICE, NOW) == ("one",)


_WRITER = """
import asyncio, os, sys
from pathlib import Path
from metadata.tokens.files import FileTokenStore
from relay.mailbox.directory import Mailboxes, Owner

async def main():
    owner = Owner(os.geteuid(), os.getegid())
    store = FileTokenStore(Mailboxes(Path(sys.argv[1]), "example.org"), owner)
    async def device(name):
        for n in range(100000):
            await store.add("alice@example.org", [f"{name}-{n % 7}"], 1800000000 + n * 4000)
            print(f"{name}-{n % 7} {1800000000 + n * 4000}", flush=True)
    await asyncio.gather(*(device(f"d{n}") for n in range(3)))

asyncio.run(main())
"""


@pytest.mark.slow
def test_killed_at_any_moment(mail: Path) -> None:
    """What was answered is there, whole, whenever the process is killed."""
    path = mail / ALICE / "metadata.json"
    for _ in range(15):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(mail)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(random.randint(1, 60))]
        time.sleep(random.uniform(0, 0.01))
        process.kill()
        told += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        answered = [line.split() for line in told if line.endswith("\n")]
        assert answered
        kept = TokenSet.parse(path.read_text(), 0).times
        for token, moment in answered:
            assert kept[token] >= int(moment)
        assert set(names(mail / ALICE)) <= {"metadata.json", "metadata.json.new"}
        path.unlink()
