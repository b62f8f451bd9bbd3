"""The units as systemd itself judges them."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
PYTHON = "/opt/postern/venv/bin/python"
SERVICES = ["doveauth.service", "filtermail@.service", "metadata.service"]
ONESHOTS = {
    "postern-certificates.service": "postern-certificates.timer",
    "postern-expire.service": "postern-expire.timer",
}
"""What runs now and then, and the timer that starts it."""
RUNS = {"postern-certificates.service": ("root", "hourly")}
"""As whom and when, if not as vmail every day. root owns the key of the certificate."""
MAILBOXES = "filtermail@incoming.service.d/mailboxes.conf"
"""What the one instance may read that the other may not."""
USES_MAILBOXES = ["doveauth.service", "metadata.service", "postern-expire.service", MAILBOXES]
SOCKETS = {
    "doveauth-lookups.socket": ("lookups-socket", "/run/doveauth/lookups.socket"),
    "doveauth-last-login.socket": ("last-login-socket", "/run/doveauth/last-login.socket"),
    "doveauth-metrics.socket": ("metrics-socket", "/run/doveauth/metrics.socket"),
    "doveauth-new.socket": ("new-socket", "/run/doveauth/new.socket"),
    "filtermail-metrics@incoming.socket": (
        "metrics-socket",
        "/run/filtermail/incoming-metrics.socket",
    ),
    "filtermail-metrics@outgoing.socket": (
        "metrics-socket",
        "/run/filtermail/outgoing-metrics.socket",
    ),
    "filtermail@incoming.socket": ("smtp", "127.0.0.1:10081"),
    "filtermail@outgoing.socket": ("smtp", "127.0.0.1:10080"),
    "metadata-metrics.socket": ("metrics-socket", "/run/metadata/metrics.socket"),
    "metadata-notify.socket": ("notify-socket", "/run/metadata/notify.socket"),
    "metadata.socket": ("socket", "/run/metadata/metadata.socket"),
}
REACHED_BY = {
    "doveauth-lookups.socket": ("dovecot", "dovecot", "0600"),
    "doveauth-metrics.socket": ("root", "root", "0660"),
    "filtermail-metrics@incoming.socket": ("root", "root", "0660"),
    "filtermail-metrics@outgoing.socket": ("root", "root", "0660"),
    "metadata-metrics.socket": ("root", "root", "0660"),
    "doveauth-new.socket": ("vmail", "www-data", "0660"),
}
"""User, group and mode of the sockets that are not Dovecot's."""
MOST_EXPOSED = 10
"""Tenths: systemd-analyze security tells an exposure from 0 to 10."""
MORE_EXPOSED = {"metadata.service": 11, "postern-certificates.service": 15}
"""The one speaks to the push gateway, wherever that is; the other is root's, as certbot wants."""


def analyze(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("systemd-analyze is missing: install the package systemd (scripts/test does)")
    return subprocess.run(
        [program, *arguments], env=os.environ | environ, capture_output=True, text=True, check=False
    )


def read(unit: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / unit)
    return parser


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a Python that is there: verify looks for what ExecStart= names."""
    for path in UNITS.glob("*.*"):
        if path.suffix in (".service", ".socket", ".timer"):
            text = path.read_text()
            assert path.suffix != ".service" or f"ExecStart={PYTHON} -m " in text
            (tmp_path / path.name).write_text(text.replace(PYTHON, sys.executable))
    shutil.copytree((UNITS / MAILBOXES).parent, (tmp_path / MAILBOXES).parent)
    return tmp_path


def instances(name: str) -> list[str]:
    if "@." not in name:
        return [name]
    return [name.replace("@.", f"@{side}.") for side in ("incoming", "outgoing")]


def test_the_units_are_these() -> None:
    there = {path.name for path in UNITS.iterdir()} - {"README.md"}
    assert there == set(SERVICES) | set(SOCKETS) | set(ONESHOTS) | set(ONESHOTS.values()) | {
        Path(MAILBOXES).parts[0]
    }


@pytest.mark.parametrize("name", [*SERVICES, *SOCKETS, *ONESHOTS, *ONESHOTS.values()])
def test_verify_has_nothing_to_say(units: Path, name: str) -> None:
    result = analyze("verify", *instances(name), SYSTEMD_UNIT_PATH=f"{units}:")
    said = [line for line in result.stderr.splitlines() if str(units) in line or name in line]
    assert (result.returncode, said) == (0, []), result.stderr


def test_verify_would_say_so(units: Path) -> None:
    """The test above reads what is really there: a slip of the pen is told."""
    with (units / "metadata.service").open("a") as unit:
        unit.write("[Service]\nProtectHoem=yes\n")
    result = analyze("verify", "metadata.service", SYSTEMD_UNIT_PATH=f"{units}:")
    assert "ProtectHoem" in result.stderr
    assert str(units) in result.stderr


@pytest.mark.parametrize("name", [*SERVICES, *ONESHOTS])
def test_exposure(name: str) -> None:
    result = analyze(
        "security",
        "--offline=true",
        f"--threshold={MORE_EXPOSED.get(name, MOST_EXPOSED)}",
        UNITS / name,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_life_cycle(name: str) -> None:
    service = read(name)["Service"]
    expected = {
        "Type": "notify",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "78",
        "User": "filtermail-%i" if name == "filtermail@.service" else "vmail",
    }
    assert {key: service[key] for key in expected} == expected
    assert "WatchdogSec" in service
    assert "--config /etc/postern/chatmail.ini" in service["ExecStart"]


@pytest.mark.parametrize(("name", "timer"), ONESHOTS.items())
def test_what_runs_now_and_then(name: str, timer: str) -> None:
    service, schedule = read(name)["Service"], read(timer)["Timer"]
    user, when = RUNS.get(name, ("vmail", "daily"))
    assert (service["Type"], service.get("User", "root")) == ("oneshot", user)
    assert "--config /etc/postern/chatmail.ini" in service["ExecStart"]
    assert (schedule["OnCalendar"], schedule["Persistent"]) == (when, "yes")
    assert "RandomizedDelaySec" in schedule


def test_the_outgoing_filter_owns_nothing_and_sees_no_mailbox() -> None:
    service = read("filtermail@.service")["Service"]
    assert (service["DynamicUser"], service["ProtectHome"]) == ("yes", "yes")
    assert not any("vmail" in value for value in service.values())


@pytest.mark.parametrize("name", USES_MAILBOXES)
def test_mailboxes_are_mounted_before_they_are_used(name: str) -> None:
    unit = read(name)
    bound = [unit["Service"].get(key) for key in ("BindPaths", "BindReadOnlyPaths")]
    mailboxes = next(path for path in bound if path)
    assert unit["Unit"]["RequiresMountsFor"] == mailboxes


def test_no_hidden_proc_for_what_reads_it() -> None:
    """doveauth looks at /proc/meminfo before it makes an account; ProcSubset=pid hides that."""
    service = read("doveauth.service")["Service"]
    assert "ProcSubset" not in service
    assert service["ProtectProc"] == "invisible"


def test_expiry_removes_what_it_finds() -> None:
    """By hand `postern expire` only counts; the unit says --remove."""
    words = read("postern-expire.service")["Service"]["ExecStart"].split()
    assert words[1:5] == ["-m", "postern", "expire", "--remove"]


@pytest.mark.parametrize(("name", "expected"), SOCKETS.items())
def test_sockets_have_the_names_that_the_daemons_look_for(
    name: str, expected: tuple[str, str]
) -> None:
    socket = read(name)["Socket"]
    assert (socket["FileDescriptorName"], socket["ListenStream"]) == expected
    if expected[1].startswith("/"):
        access = [socket[key] for key in ("SocketUser", "SocketGroup", "SocketMode")]
        assert access == list(REACHED_BY.get(name, ("vmail", "dovecot", "0660")))


def test_each_service_has_its_sockets() -> None:
    wanted = {
        socket.replace("%i", side)
        for name in SERVICES
        for side in ("incoming", "outgoing")
        for socket in read(name)["Service"]["Sockets"].split()
    }
    assert wanted == set(SOCKETS)
