"""An installation changes what is not as planned, and a broken one leaves the host as it was."""

import os
from pathlib import Path

import pytest

from postern.host.install import apply as installing
from postern.host.install.changes import Changes
from postern.host.install.differences import found
from postern.host.install.journal import Journal
from postern.host.install.plan import CONFIG, CURRENT, Plan
from tests.postern.install.hosts import CONFIG_TEXT, Played, host, picture, plan

BROKEN = "chaos"


def install(machine: Played, plan: Plan, break_at_write: int | None = None) -> None:
    """An installation, without the parts that need real programs."""
    with installing.undone_if_failed(machine) as changes:
        if break_at_write is not None:
            _break(changes, break_at_write)
        installing.apply(machine, plan, found(machine, plan), changes, lambda _: None, _nothing)


def _nothing(_changes: Changes) -> None:
    """No key and no certificate is made here."""


def _break(changes: Changes, number: int) -> None:
    """Let the write with this number fail once it is done, as a full disk or a bug would."""
    write, count = changes.write, 0

    def broken(path: str, *arguments: object, **options: object) -> None:
        nonlocal count
        write(path, *arguments, **options)  # type: ignore[arg-type]
        count += 1
        if count == number:
            raise OSError(BROKEN)

    changes.write = broken  # type: ignore[method-assign]


def test_a_bare_host_becomes_as_planned_and_a_second_run_finds_nothing(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    assert (tmp_path / "etc/postfix/main.cf").read_text().startswith("# Postfix of a relay")
    assert (tmp_path / CURRENT.lstrip("/")).readlink() == Path("/opt/postern/versions/one/venv")
    assert {"postfix", "dovecot-core"} <= machine.state.packages
    assert "doveauth.service" in machine.state.active & machine.state.enabled
    assert (tmp_path / "home/vmail/mail/chat.example.org/.postern").exists()
    assert not found(machine, plan())


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many commands of a first installation change something."""
    machine = host(tmp_path_factory.mktemp("steps"))
    install(machine, plan())
    return machine.state.changes


@pytest.mark.slow
def test_broken_at_each_command_in_turn_a_first_installation_is_undone(
    steps: int, tmp_path: Path
) -> None:
    assert steps > 20
    for number in range(1, steps + 1):
        machine = host(tmp_path / str(number))
        before = picture(machine)
        machine.state.break_at = number
        with pytest.raises(installing.Failed):
            install(machine, plan())
        assert picture(machine) == before, f"broken at command {number}"


@pytest.mark.slow
def test_broken_at_each_command_in_turn_an_update_is_undone(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    newer = plan("two", main_cf="smtpd_timeout = 60s\n")
    before, began = picture(machine), machine.state.changes
    install(machine, newer)
    steps = machine.state.changes - began
    assert steps > 3
    for number in range(1, steps + 1):
        machine = host(tmp_path / str(number))
        install(machine, plan())
        before = picture(machine)
        machine.state.break_at = machine.state.changes + number
        with pytest.raises(installing.Failed):
            install(machine, newer)
        assert picture(machine) == before, f"broken at command {number}"


@pytest.mark.parametrize("number", [1, 2, 7, 15, 22])
def test_broken_while_files_are_written_it_is_undone(tmp_path: Path, number: int) -> None:
    machine = host(tmp_path)
    before = picture(machine)
    with pytest.raises(installing.Failed, match=BROKEN):
        install(machine, plan(), break_at_write=number)
    assert picture(machine) == before


def test_one_that_was_killed_is_undone_by_the_next_run(tmp_path: Path) -> None:
    machine = host(tmp_path)
    before = picture(machine)
    journal = Journal(machine.at(installing.JOURNAL))
    journal.begin()
    changes = Changes(machine, journal)
    installing.apply(machine, plan(), found(machine, plan()), changes, lambda _: None, _nothing)
    assert picture(machine) != before
    assert installing.recover(machine) == []
    assert picture(machine) == before
    assert installing.recover(machine) is None


def test_a_last_line_that_is_cut_off_was_not_acted_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.begin()
    journal.record({"kind": "made", "path": "/a"})
    with (tmp_path / "journal" / "entries.jsonl").open("a") as file:
        file.write('{"kind": "made", "pa')
    assert list(journal.backwards()) == [{"kind": "made", "path": "/a"}]


def test_an_edited_file_is_kept_aside(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    main = tmp_path / "etc/postfix/main.cf"
    ours = main.read_text()
    main.write_text(ours + "smtpd_timeout = 1s\n")
    (change,) = found(machine, plan()).files
    assert change.is_edited
    assert "-smtpd_timeout = 1s" in change.diff()
    install(machine, plan())
    assert main.read_text() == ours
    (kept,) = tmp_path.glob("var/lib/postern/install/edited/*/etc/postfix/main.cf")
    assert kept.read_text() == ours + "smtpd_timeout = 1s\n"


def test_a_file_of_debians_is_not_taken_for_an_edited_one(tmp_path: Path) -> None:
    machine = host(tmp_path)
    changes = {change.file.path: change for change in found(machine, plan()).files}
    assert changes["/etc/postfix/main.cf"].before == "# of Debian\n"
    assert not changes["/etc/postfix/main.cf"].is_edited


def test_a_file_that_a_newer_version_has_no_use_for_goes(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    manifest = tmp_path / "var/lib/postern/install/manifest.json"
    manifest.write_text(manifest.read_text().replace("{", '{"/etc/old.conf": "x",', 1))
    (tmp_path / "etc/old.conf").write_text("x")
    assert found(machine, plan()).stale == ["/etc/old.conf"]
    install(machine, plan())
    assert not (tmp_path / "etc/old.conf").exists()


def test_only_what_changed_hears_of_it(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    machine.state.commands.clear()
    install(machine, plan(main_cf="smtpd_timeout = 60s\n"))
    assert acted_on(machine) == [("reload-or-restart", "postfix.service")]
    machine.state.commands.clear()
    install(machine, plan("two", main_cf="smtpd_timeout = 60s\n"))
    assert {verb for verb, _ in acted_on(machine)} == {"restart"}
    assert "postfix.service" not in {unit for _, unit in acted_on(machine)}


def test_a_server_that_ran_before_is_restarted_for_its_drop_in(tmp_path: Path) -> None:
    """A reload leaves it in the journal, and at the level, that it was started with."""
    machine = host(tmp_path)
    for units in (machine.state.active, machine.state.enabled):
        units |= {"postfix.service", "dovecot.service", "dovecot.socket"}
    install(machine, plan())
    assert ("restart", "postfix.service") in acted_on(machine)
    # This one ends with its socket and starts with it: once is enough.
    assert ("stop", "dovecot.service") in acted_on(machine)
    assert ("restart", "dovecot.service") not in acted_on(machine)


def test_an_edited_file_is_kept_to_the_octet(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    edited = b"# caf\xe9, in an old encoding\n"
    (tmp_path / "etc/postfix/main.cf").write_bytes(edited)
    install(machine, plan())
    (kept,) = tmp_path.glob("var/lib/postern/install/edited/*/etc/postfix/main.cf")
    assert kept.read_bytes() == edited


def test_a_changed_configuration_reloads_our_daemons(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    machine.state.commands.clear()
    text = CONFIG_TEXT + "push_max_in_flight = 7\n"
    (tmp_path / CONFIG.lstrip("/")).write_text(text)
    install(machine, plan(config_text=text))
    assert ("reload", "metadata.service") in acted_on(machine)


def acted_on(machine: Played) -> list[tuple[str, str]]:
    """What systemctl was asked to change, unit by unit."""
    words = [[word for word in each[1:] if word[0] != "-"] for each in machine.state.commands]
    verbs = ("start", "stop", "restart", "reload", "reload-or-restart")
    return [(each[0], each[1]) for each in words if len(each) > 1 and each[0] in verbs]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_secret_belongs_to_the_group_that_reads_it(tmp_path: Path) -> None:
    machine = host(tmp_path)
    install(machine, plan())
    status = (tmp_path / "etc/dovecot/doveauth.lua").stat()
    assert (status.st_gid, status.st_mode & 0o777) == (105, 0o640)


def test_of_old_versions_the_one_before_stays(tmp_path: Path) -> None:
    machine = host(tmp_path)
    versions = tmp_path / "opt/postern/versions"
    for age, name in enumerate(("one", "two", "three")):
        (versions / name).mkdir(parents=True)
        os.utime(versions / name, (age, age))
    goes = installing.old_versions(
        machine, "/opt/postern/versions", "/opt/postern/versions/three/venv"
    )
    assert [path.name for path in goes] == ["one"]


def test_root_writes_no_mark_where_a_link_leads(tmp_path: Path) -> None:
    """The directory above the mailboxes is their user's, who could put a link there."""
    machine = host(tmp_path)
    (tmp_path / "home/vmail/mail").mkdir(parents=True)
    (tmp_path / "home/vmail/mail/chat.example.org").symlink_to(tmp_path / "srv")
    (tmp_path / "srv").mkdir()
    with pytest.raises(installing.Failed):
        install(machine, plan())
    assert list((tmp_path / "srv").iterdir()) == []
