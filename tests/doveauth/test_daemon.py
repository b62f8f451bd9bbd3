"""doveauth as Dovecot meets it: by its sockets, in this process and by its command line."""

import asyncio
import contextlib
import json
import os
import resource
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import doveauth
from doveauth.daemon import LAST_LOGIN, LOOKUPS, NEW
from relay.life.sockets import open_unix
from tests.doveauth.relays import NAME, Relay
from tests.support import DEADLINE, Daemon, daemon, dict_client


@pytest.fixture
def relay(socket_dir: Path) -> Relay:
    return Relay(socket_dir)


@pytest.fixture
async def running(relay: Relay) -> AsyncIterator[asyncio.Event]:
    async with relay.running() as shutdown:
        yield shutdown


async def test_passdb_answers_what_existing_relays_answer_and_userdb_no_hash(
    running: asyncio.Event, relay: Relay
) -> None:
    assert (await relay.user()).status == 404
    told = (await relay.login()).fields
    password = told.pop("password")
    assert password.startswith("{SHA512-CRYPT}$6$")
    assert told == {
        "addr": NAME,
        "home": str(relay.mail / NAME),
        "uid": str(os.geteuid()),
        "gid": str(os.getegid()),
    }
    assert (await relay.login(password="another")).fields["password"] == password
    assert (await relay.user()).fields == told


async def test_every_user_is_listed(running: asyncio.Event, relay: Relay) -> None:
    names = [f"user0000{number}@example.org" for number in range(3)]
    assert (await relay.users()).text == ""
    for name in names:
        assert (await relay.login(name)).status == 200
    assert sorted((await relay.users()).text.splitlines()) == names


async def test_a_last_login_is_noted_by_its_day(running: asyncio.Event, relay: Relay) -> None:
    await relay.login()
    async with dict_client(relay.socket(LAST_LOGIN)) as client:
        # As Dovecot 2.3.19 sends it.
        login = b"B1\tx\nS1\tshared/last-login/someone12@example.org\t1795332101\nC1"
        assert await client.ask(login) == b"O1\n"
    assert (relay.mail / NAME / "password").stat().st_mtime == 1795305600


async def test_a_hundred_simultaneous_first_logins_are_answered_alike(
    running: asyncio.Event, relay: Relay
) -> None:
    answers = await asyncio.gather(*(relay.login() for _ in range(100)))
    assert len(set(answers)) == 1
    assert answers[0].fields["password"].startswith("{SHA512-CRYPT}$6$")


async def test_a_disk_that_is_not_mounted_is_not_now_until_it_is(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    """From the start, and while it runs; whatever may be there in its place."""
    elsewhere = relay.mail.rename(relay.mail.with_name("elsewhere"))
    async with relay.running():
        for _ in range(2):
            assert (await relay.login()).status == 503
            assert (await relay.user()).status == 503
            assert (await relay.users()).status == 503
        assert not relay.mail.exists(), "the daemon makes no directory"
        relay.mail.mkdir()  # the mount point
        assert (await relay.login()).status == 503
        assert list(relay.mail.iterdir()) == []
        relay.mail.rmdir()
        elsewhere.rename(relay.mail)
        assert (await relay.login()).status == 200
        relay.mail.rename(elsewhere)
        assert (await relay.user()).status == 503
        elsewhere.rename(relay.mail)
        assert (await relay.user()).status == 200
    trouble = [message for message in caplog.messages if "missing" in message]
    assert len(trouble) == 2, "once each time"
    assert f"{relay.mail}/.postern is missing: mount the disk of the mailboxes" in trouble[0]
    assert "someone12" not in caplog.text


async def test_a_stored_hash_that_is_no_text_is_a_temporary_failure(
    running: asyncio.Event, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    await relay.login()
    (relay.mail / NAME / "password").write_bytes(b"\xff\xfe")
    assert (await relay.login()).status == 503
    assert (await relay.user()).status == 503
    assert "someone12" not in caplog.text


async def test_a_first_login_crosses_seven_files_at_most(
    running: asyncio.Event, relay: Relay
) -> None:
    """One step must not be spread over more files than a reader can hold in mind."""
    house, crossed = str(Path(doveauth.__file__).parent), set[str]()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(house):
            crossed.add(frame.f_code.co_filename.removeprefix(f"{house}/"))

    threading.setprofile(note)  # for the threads that the login starts
    sys.setprofile(note)
    try:
        answer = await relay.login(remote="192.0.2.1")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert answer.status == 200
    assert {"edges/http.py", "registrar.py", "stores/files.py", "hashing.py"} <= crossed
    assert len(crossed) <= 7, sorted(crossed)


@pytest.fixture
def process(relay: Relay) -> Iterator[Daemon]:
    sockets = []
    for name in (LOOKUPS, LAST_LOGIN, NEW):
        sockets += [f"--{name}", str(relay.socket(name))]
    with daemon(["-m", "doveauth", "--config", str(relay.config_path), *sockets]) as started:
        started.wait_for_log("doveauth is up on lookups-socket")
        yield started


async def test_it_runs_by_its_command_line(process: Daemon, relay: Relay) -> None:
    assert (await relay.login()).status == 200
    assert json.loads((await relay.request("POST", NEW, "/new")).text).keys() == {
        "email",
        "password",
    }
    assert await asyncio.to_thread(process.terminate) == 0
    assert "an account was created" in process.log
    assert "someone12" not in process.log
    assert "Traceback" not in process.log


async def test_a_kill_loses_no_account_that_was_answered(process: Daemon, relay: Relay) -> None:
    answer = await relay.login()
    process.process.kill()
    await asyncio.to_thread(process.wait)
    async with relay.running():
        assert await relay.login() == answer


async def test_a_full_disk_is_a_temporary_failure_until_there_is_room(
    process: Daemon, relay: Relay
) -> None:
    pid = process.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    assert (await relay.login()).status == 503
    assert (await relay.user()).status == 404
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert (await relay.login()).status == 200
    left = {path.name for path in (relay.mail / NAME).iterdir()}
    assert left == {"password", "enforceE2EEincoming"}


async def test_a_fifo_does_not_keep_it_from_ending(process: Daemon, relay: Relay) -> None:
    (relay.mail / NAME).mkdir()
    os.mkfifo(relay.mail / NAME / "password")
    async with asyncio.timeout(DEADLINE):
        assert (await relay.login()).status == 503
    assert await asyncio.to_thread(process.terminate) == 0


async def test_it_takes_its_sockets_from_systemd(relay: Relay) -> None:
    with contextlib.ExitStack() as stack:
        sockets = {
            name: stack.enter_context(contextlib.closing(open_unix(relay.socket(name))))
            for name in (LAST_LOGIN, LOOKUPS)
        }
        arguments = ["-m", "doveauth", "--config", str(relay.config_path)]
        stack.enter_context(daemon(arguments, sockets=sockets))
        assert (await relay.login()).status == 200
