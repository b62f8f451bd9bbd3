"""doveauth as Dovecot meets it: by its two sockets, in this process and by its command line."""

import asyncio
import contextlib
import json
import os
import pwd
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from doveauth.daemon import AUTH, LAST_LOGIN, run
from relay.config import Config, read_config
from relay.life.service import Unstartable
from relay.life.sockets import open_unix
from tests.support import DEADLINE, Daemon, daemon, dict_client

NAME = "someone12@example.org"
FIRST_LOGIN = b'Lshared/passdb/password1"someone12@example.org\tsomeone12@example.org'
NOT_NOW = b"Onot now\n"
"""No failure of the dict, for which Dovecot 2.3 would log the password."""
USERDB = b"Lshared/userdb/someone12@example.org\tsomeone12@example.org"


@pytest.fixture
def config_path(socket_dir: Path) -> Path:
    path = socket_dir / "chatmail.ini"
    path.write_text(
        "[params]\nmail_domain = example.org\n"
        f"mailboxes_dir = {socket_dir}/made/mail\nnocreate_path = {socket_dir}/nocreate\n"
        f"mailboxes_user = {pwd.getpwuid(os.geteuid()).pw_name}\n"
        "max_load_1m = 1000\nmin_available_memory = 1M\nmin_free_disk_space = 1M\n"
    )
    return path


@pytest.fixture
def config(config_path: Path) -> Config:
    return read_config(config_path)


@pytest.fixture
def auth(socket_dir: Path) -> Path:
    return socket_dir / "auth"


@pytest.fixture
def last_login(socket_dir: Path) -> Path:
    return socket_dir / "last-login"


@contextlib.asynccontextmanager
async def running(config: Config, auth: Path, last_login: Path) -> AsyncIterator[asyncio.Event]:
    shutdown = asyncio.Event()
    listeners = {AUTH: open_unix(auth), LAST_LOGIN: open_unix(last_login)}
    task = asyncio.create_task(run(listeners, config, shutdown))
    try:
        yield shutdown
    finally:
        shutdown.set()
        async with asyncio.timeout(DEADLINE):
            await task


@pytest.fixture
async def doveauth(config: Config, auth: Path, last_login: Path) -> AsyncIterator[asyncio.Event]:
    async with running(config, auth, last_login) as shutdown:
        yield shutdown


def fields(answer: bytes) -> dict[str, object]:
    assert answer.startswith(b"O"), answer
    result = json.loads(answer[1:])
    assert isinstance(result, dict)
    return result


async def test_passdb_tells_what_existing_relays_tell_and_userdb_no_hash(
    doveauth: asyncio.Event, auth: Path, config: Config
) -> None:
    async with dict_client(auth) as client:
        assert await client.ask(USERDB) == b"N\n"
        told = fields(await client.ask(FIRST_LOGIN))
        password = str(told.pop("password"))
        assert password.startswith("{SHA512-CRYPT}$6$")
        assert told == {
            "addr": NAME,
            "home": str(config.mailboxes_dir / NAME),
            "uid": os.geteuid(),
            "gid": os.getegid(),
        }
        again = fields(await client.ask(b'Lshared/passdb/another"someone12@example.org\tx'))
        assert again["password"] == password
        assert fields(await client.ask(USERDB)) == told


async def test_an_iteration_names_every_user_with_an_empty_value(
    doveauth: asyncio.Event, auth: Path
) -> None:
    names = [f"user0000{number}@example.org".encode() for number in range(3)]
    async with dict_client(auth) as client:
        assert await client.ask(b"I0\t0\tshared/userdb/\t*") == b"\n"
        for name in names:
            fields(await client.ask(b'Lshared/passdb/password1"' + name))
        rows = [await client.ask(b"I0\t0\tshared/userdb/\t*")]
        rows += [await client.line() for _ in names]
        assert rows[-1] == b"\n"
        assert sorted(rows[:-1]) == [b"Oshared/userdb/" + name + b"\t\n" for name in names]
        assert await client.ask(b"I0\t0\tshared/passdb/\t*") == b"\n"


@pytest.mark.parametrize(
    "key",
    [
        b'shared/passdb/password1"someone12@example.com',
        b'shared/passdb/password1"short@example.org',
        b'shared/passdb/short"someone12@example.org',
        b"shared/passdb/password1",
        b'shared/passdb/password1"../../etc@example.org',
        b'shared/passdb/password1"some\x010one@example.org',
        b'shared/passdb/password1"some\xffone1@example.org',
        b'shared/passdb/password1"' + b"a" * 10_240 + b"@example.org",
        b"shared/passdb/" + b"p" * 10_240 + b'"someone12@example.org',
        b"shared/userdb/../../etc/passwd",
        b"shared/userdb/",
        b"shared/anything",
        b"priv/anything",
        b"",
    ],
)
async def test_what_is_not_admissible_is_not_found(
    doveauth: asyncio.Event, auth: Path, key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with dict_client(auth) as client:
        assert await client.ask(b"L" + key + b"\tsomeone") == b"N\n"
        assert await client.ask(USERDB) == b"N\n"
    assert "Traceback" not in caplog.text
    assert "unexpected" not in caplog.text


async def test_a_last_login_is_noted_by_its_day(
    doveauth: asyncio.Event, auth: Path, last_login: Path, config: Config
) -> None:
    async with dict_client(auth) as client:
        fields(await client.ask(FIRST_LOGIN))
    async with dict_client(last_login) as client:
        # As Dovecot 2.3.19 sends it.
        login = b"B1\tx\nS1\tshared/last-login/someone12@example.org\t1795332101\nC1"
        assert await client.ask(login) == b"O1\n"
        assert (config.mailboxes_dir / NAME / "password").stat().st_mtime == 1795305600
        for stranger in (b"nobody12@example.org", b"someone12@example.com", b"../x@example.org"):
            change = b"B1\tx\nS1\tshared/last-login/" + stranger + b"\t1795332101\nC1"
            assert await client.ask(change) == b"O1\n"
        assert await client.ask(b"Lshared/last-login/someone12@example.org") == b"N\n"
        assert await client.ask(b"I0\t0\tshared/last-login/") == b"\n"
    assert [path.name for path in config.mailboxes_dir.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "change",
    [
        b"S1\tshared/last-login/someone12@example.org\tyesterday",
        b"S1\tshared/last-login/someone12@example.org\t99999999999999999999",
        b"U1\tshared/last-login/someone12@example.org",
        b"S1\tshared/passdb/someone12@example.org\t1795332101",
    ],
)
async def test_what_is_no_last_login_is_refused_and_changes_nothing(
    doveauth: asyncio.Event, auth: Path, last_login: Path, config: Config, change: bytes
) -> None:
    async with dict_client(auth) as client:
        fields(await client.ask(FIRST_LOGIN))
    before = (config.mailboxes_dir / NAME / "password").stat().st_mtime
    good = b"S1\tshared/last-login/someone12@example.org\t86400\n"
    async with dict_client(last_login) as client:
        answer = await client.ask(b"B1\tx\n" + good + change + b"\nC1")
        assert answer.startswith(b"F1\tshared/last-login/USER is set to a time")
        assert await client.ask(b"B2\tx\n" + good.replace(b"S1", b"S2") + b"R2\nLx") == b"N\n"
    assert (config.mailboxes_dir / NAME / "password").stat().st_mtime == before


async def test_users_cannot_be_changed_by_dict(doveauth: asyncio.Event, auth: Path) -> None:
    async with dict_client(auth) as client:
        answer = await client.ask(b"B1\tx\nS1\tshared/userdb/someone12@example.org\tx\nC1")
        assert answer == b"F1\tthe users cannot be changed by dict\n"
        assert await client.ask(USERDB) == b"N\n"


async def test_a_hundred_simultaneous_first_logins_are_answered_alike(
    doveauth: asyncio.Event, auth: Path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(dict_client(auth)) for _ in range(100)]
        answers = await asyncio.gather(*(client.ask(FIRST_LOGIN) for client in clients))
    assert len(set(answers)) == 1
    assert str(fields(answers[0])["password"]).startswith("{SHA512-CRYPT}$6$")


async def test_a_disk_in_trouble_is_a_temporary_failure(
    doveauth: asyncio.Event, auth: Path, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    async with dict_client(auth) as client:
        assert await client.ask(USERDB) == b"N\n"
        aside = config.mailboxes_dir.with_name("aside")
        config.mailboxes_dir.rename(aside)
        config.mailboxes_dir.write_text("no directory any more")
        failure = b"Fthe mailboxes cannot be read or written now\n"
        assert await client.ask(FIRST_LOGIN) == NOT_NOW
        assert await client.ask(b"I0\t0\tshared/userdb/\t*") == failure
        config.mailboxes_dir.unlink()
        aside.rename(config.mailboxes_dir)
        fields(await client.ask(FIRST_LOGIN))
    assert "the mailboxes cannot be read or written: Not a directory" in caplog.text
    assert "someone12" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_stored_hash_that_is_no_text_is_a_temporary_failure(
    doveauth: asyncio.Event, auth: Path, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    async with dict_client(auth) as client:
        fields(await client.ask(FIRST_LOGIN))
        (config.mailboxes_dir / NAME / "password").write_bytes(b"\xff\xfe")
        assert await client.ask(FIRST_LOGIN) == NOT_NOW
        assert await client.ask(USERDB) == b"Finternal error\n"
    assert "someone12" not in caplog.text


async def test_a_directory_that_cannot_be_made_is_told(
    config: Config, auth: Path, last_login: Path
) -> None:
    config.mailboxes_dir.parent.write_text("in the way")
    listeners = {AUTH: open_unix(auth), LAST_LOGIN: open_unix(last_login)}
    with pytest.raises(Unstartable, match=r"/made/mail cannot be made: .*set mailboxes_dir"):
        async with asyncio.timeout(DEADLINE):
            await run(listeners, config, asyncio.Event())
    for listener in listeners.values():
        listener.close()


async def test_the_mailboxes_are_for_their_owner_alone(
    doveauth: asyncio.Event, auth: Path, config: Config
) -> None:
    async with dict_client(auth) as client:
        await client.ask(USERDB)
    assert config.mailboxes_dir.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def process(config_path: Path, auth: Path, last_login: Path) -> Iterator[Daemon]:
    sockets = ["--auth-socket", str(auth), "--last-login-socket", str(last_login)]
    with daemon(["-m", "doveauth", "--config", str(config_path), *sockets]) as started:
        started.wait_for_log("doveauth is up on auth-socket")
        yield started


async def test_it_runs_by_its_command_line(process: Daemon, auth: Path, last_login: Path) -> None:
    async with dict_client(auth) as client:
        fields(await client.ask(FIRST_LOGIN))
    async with dict_client(last_login) as client:
        assert await client.ask(b"Lx") == b"N\n"
    assert await asyncio.to_thread(process.terminate) == 0
    assert "an account was created" in process.log
    assert "someone12" not in process.log
    assert "Traceback" not in process.log


async def test_a_kill_loses_no_account_that_was_answered(
    process: Daemon, auth: Path, last_login: Path, config: Config
) -> None:
    async with dict_client(auth) as client:
        answer = await client.ask(FIRST_LOGIN)
        process.process.kill()
        await asyncio.to_thread(process.wait)
    async with running(config, auth, last_login), dict_client(auth) as client:
        assert await client.ask(FIRST_LOGIN) == answer


async def test_a_full_disk_is_a_temporary_failure_until_there_is_room(
    process: Daemon, auth: Path, config: Config
) -> None:
    pid = process.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    async with dict_client(auth) as client:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        assert await client.ask(FIRST_LOGIN) == NOT_NOW
        assert await client.ask(USERDB) == b"N\n"
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        fields(await client.ask(FIRST_LOGIN))
    left = {path.name for path in (config.mailboxes_dir / NAME).iterdir()}
    assert left == {"password", "enforceE2EEincoming"}


async def test_it_takes_its_sockets_from_systemd(
    config_path: Path, auth: Path, last_login: Path
) -> None:
    with contextlib.ExitStack() as stack:
        sockets = {
            LAST_LOGIN: stack.enter_context(contextlib.closing(open_unix(last_login))),
            AUTH: stack.enter_context(contextlib.closing(open_unix(auth))),
        }
        arguments = ["-m", "doveauth", "--config", str(config_path)]
        stack.enter_context(daemon(arguments, sockets=sockets))
        async with dict_client(auth) as client:
            fields(await client.ask(FIRST_LOGIN))
