"""`postern report`: numbers that are right, in each form, and that name nobody."""

import getpass
import json
import os
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from postern.report.statistics import Distribution, Statistics
from postern.users.details import Details
from relay.mailbox.directory import ENFORCE, METADATA, PASSWORD
from tests.postern.commandline import Done, postern

DOMAIN = "example.org"
DAY = 86400


@pytest.fixture
def relay(tmp_path: Path) -> Path:
    """A directory with chatmail.ini and, in mail/, mailboxes of each kind."""
    (tmp_path / "chatmail.ini").write_text(
        f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {tmp_path}/mail\n"
        f"mailboxes_user = {getpass.getuser()}\n"
    )
    mailbox(tmp_path, "today0001", "{PLAIN}x", idle_days=0, messages=(1000, 2_000_000))
    mailbox(tmp_path, "weekly001", "{PLAIN}x", idle_days=5, tokens=2)
    mailbox(tmp_path, "longago01", "{PLAIN}x", idle_days=100, messages=(5,))
    mailbox(tmp_path, "blocked01", "", idle_days=0)
    mailbox(tmp_path, "halfmade1", None, idle_days=0)
    return tmp_path


def mailbox(
    root: Path,
    local: str,
    password: str | None,
    *,
    idle_days: int,
    messages: tuple[int, ...] = (),
    tokens: int = 0,
) -> None:
    path = root / "mail" / f"{local}@{DOMAIN}"
    (path / "new").mkdir(parents=True)
    (path / ENFORCE).touch()
    now = int(time.time())
    (path / METADATA).write_text(json.dumps({"devicetoken": {f"t{n}": now for n in range(tokens)}}))
    for number, octets in enumerate(messages):
        (path / "new" / f"{now}.M{number}P1.host,S={octets}").write_bytes(b"x")
    if password is not None:
        (path / PASSWORD).write_text(password)
        day = (now // DAY - idle_days) * DAY
        os.utime(path / PASSWORD, (day, day))


def report(relay: Path, *arguments: str) -> Done:
    done = postern("report", "--config", str(relay / "chatmail.ini"), *arguments)
    assert done.returncode == 0, done.stderr
    return done


def test_json_has_the_numbers(relay: Path) -> None:
    told = json.loads(report(relay, "--json").stdout)
    by = told.pop("accounts_by")
    assert told == {
        "accounts": 3,
        "blocked": 1,
        "half_made": 1,
        "unreadable": 0,
        "messages": 3,
        "storage_octets": 2_001_005,
        "on_disk_octets": 3,
        "devices": 2,
    }
    assert [each["accounts"] for each in by["login_days"]] == [1, 1, 0, 0, 1]
    assert [each["accounts"] for each in by["storage_mb"]] == [2, 1, 0, 0, 0, 0, 0]
    assert [each["accounts"] for each in by["messages"]] == [1, 2, 0, 0, 0]
    assert [each["accounts"] for each in by["devices"]] == [2, 0, 1, 0, 0]
    assert [each["at_most"] for each in by["devices"]] == [0, 1, 2, 3, None]


def test_the_textfile_is_prometheus_and_takes_the_place_of_an_older_one(relay: Path) -> None:
    path = relay / "mailboxes.prom"
    path.write_text("old")
    assert report(relay, "--textfile", str(path)).stdout == ""
    families = {each.name: each for each in text_string_to_metric_families(path.read_text())}
    assert families["postern_mailboxes_accounts"].samples[0].value == 3
    logins = families["postern_mailboxes_by_login_days"].samples
    assert {each.labels["at_most"]: each.value for each in logins}["+Inf"] == 1
    assert sorted(each.name for each in relay.iterdir()) == ["chatmail.ini", "mail", path.name]
    storage = families["postern_mailboxes_storage_octets"]
    assert (storage.samples[0].value, storage.documentation) == (
        2_001_005,
        "Number of octets that quota counts.",
    )


def test_a_textfile_that_nobody_would_read_is_wrong_usage(relay: Path) -> None:
    done = postern(
        "report", "--config", str(relay / "chatmail.ini"), "--textfile", str(relay / "out.txt")
    )
    assert (done.returncode, ".prom" in done.stderr) == (2, True)
    assert not (relay / "out.txt").exists()


@pytest.mark.parametrize("option", ["--textfile", "--html"])
@pytest.mark.parametrize(
    ("name", "says"), [("none/out.prom", "No such file"), ("dir.prom", "Is a directory")]
)
def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(
    relay: Path, option: str, name: str, says: str
) -> None:
    (relay / "dir.prom").mkdir()
    before = sorted(relay.iterdir())
    done = postern("report", "--config", str(relay / "chatmail.ini"), option, str(relay / name))
    assert done.returncode == 1
    assert done.stderr.startswith(f"{relay / name}: {says}")
    assert sorted(relay.iterdir()) == before


def test_a_hash_that_is_no_text_is_nobodys_business(relay: Path) -> None:
    (relay / "mail" / f"today0001@{DOMAIN}" / PASSWORD).write_bytes(b"\xff\xfe")
    assert json.loads(report(relay, "--json").stdout)["accounts"] == 3


def test_what_cannot_be_read_is_counted_and_the_rest_is_told(relay: Path) -> None:
    password = relay / "mail" / f"today0001@{DOMAIN}" / PASSWORD
    password.unlink()
    password.symlink_to(PASSWORD)
    done = postern("report", "--config", str(relay / "chatmail.ini"), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "1 mailboxes could not be read\n")
    assert (told["unreadable"], told["accounts"]) == (1, 2)


def test_the_page_needs_nothing_else(relay: Path) -> None:
    path = relay / "report.html"
    report(relay, "--html", str(path))
    text = path.read_text()
    page = ET.fromstring(
        text.replace("<!DOCTYPE html>\n", "")
        .replace('<meta charset="utf-8">', "")
        .replace('<meta name="viewport" content="width=device-width, initial-scale=1">', "")
    )
    plots = [each for each in page.findall(".//table") if each.get("class") == "plot"]
    assert len(plots) == 4
    bars = [bar for bar in page.findall(".//div") if bar.get("class") == "bar"]
    assert {bar.get("style") for bar in bars} >= {"width: 100%", "width: 0%"}
    # Letters of a picture would shrink with it on a small screen.
    assert page.findall(".//svg") == []
    for word in ("http:", "https:", "<script", "src=", "@import", "url("):
        assert word not in text


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--textfile",), ("--html",)])
def test_nobody_is_named(relay: Path, arguments: tuple[str, ...]) -> None:
    target = relay / "out.prom"
    words = (*arguments, str(target)) if arguments and arguments != ("--json",) else arguments
    told = report(relay, *words).stdout + (target.read_text() if target.exists() else "")
    assert told
    for local in ("today0001", "weekly001", "longago01", "blocked01", "halfmade1"):
        assert local not in told


def test_a_table_for_people(relay: Path) -> None:
    told = report(relay).stdout
    assert "Accounts by days since the last login" in told
    assert "over 90 days" in told


def test_no_mailboxes_directory_is_a_line_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "chatmail.ini").write_text(
        f"[params]\nmail_domain = {DOMAIN}\nmailboxes_dir = {tmp_path}/none\n"
        f"mailboxes_user = {getpass.getuser()}\n"
    )
    done = postern("report", "--config", f"{tmp_path}/chatmail.ini")
    assert done.returncode == 1
    assert "No such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_ranges_do_not_seem_to_overlap() -> None:
    def labels(distribution: Distribution) -> list[str]:
        return [bucket.label for bucket in distribution.buckets()]

    assert labels(Distribution((0, 1, 10), "")) == ["0", "1", "2 to 10", "over 10"]
    assert labels(Distribution((1, 7), " days")) == ["0 to 1 days", "2 to 7 days", "over 7 days"]
    sizes = Distribution((1, 1000), " MB", whole=False)
    assert labels(sizes) == ["0 to 1 MB", "1 to 1,000 MB", "over 1,000 MB"]


@pytest.mark.parametrize(("value", "at"), [(0, 0), (1, 0), (1.5, 1), (10, 1), (11, 2)])
def test_a_bound_belongs_to_its_bucket(value: float, at: int) -> None:
    distribution = Distribution((1, 10), "")
    distribution.add(value)
    assert distribution.counts.index(1) == at


def test_a_clock_that_was_set_back_is_counted_as_today() -> None:
    statistics = Statistics()
    statistics.add(Details("a", "active", "2026-11-24", 0, 0, 0, 0, 0), days_since_login=-3)
    assert statistics.logins.counts[0] == 1
