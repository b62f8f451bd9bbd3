"""The programs' own checks of new files, beside the host's files, before anything is replaced."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postern.host.install.machine import CommandFailed, Machine
from postern.host.install.plan import CURRENT, File


class Invalid(Exception):
    """A program does not accept a file that was written for it; the message has its words."""


@contextmanager
def staged(machine: Machine, files: tuple[File, ...], venv: str) -> Iterator[Path]:
    """The files in a directory of their own, below their usual paths."""
    with tempfile.TemporaryDirectory(prefix="postern-stage-") as directory:
        stage = Path(directory)
        for file in files:
            target = stage / file.path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            # The link to the new version is not there yet.
            target.write_text(file.text.replace(f"{CURRENT}/", f"{venv}/"), encoding="utf-8")
        _complete_postfix(machine, stage)
        yield stage


def _complete_postfix(machine: Machine, stage: Path) -> None:
    """Postfix looks for its other files beside main.cf."""
    for name in ("dynamicmaps.cf", "dynamicmaps.cf.d", "postfix-files", "postfix-files.d"):
        source = machine.at(f"/etc/postfix/{name}")
        if source.is_dir():
            shutil.copytree(source, stage / "etc/postfix" / name)
        elif source.exists():
            shutil.copy(source, stage / "etc/postfix" / name)


def validate(machine: Machine, stage: Path) -> None:
    """Let each program look at its staged files; raises Invalid with all that they say."""
    complaints = [said for check in _CHECKS if (said := check(machine, stage))]
    if complaints:
        raise Invalid("\n".join(complaints))


def _postfix(machine: Machine, stage: Path) -> str:
    # It exits with 0 also where it warns of a parameter that it does not know.
    directory = str(stage / "etc/postfix")
    said = _said(machine, "postfix", "-c", directory, "check")
    said = "".join(line for line in said.splitlines(keepends=True) if _COMPLAINT.search(line))
    return said + _said(machine, "postconf", "-c", directory, "-M", quiet=True)


def _dovecot(machine: Machine, stage: Path) -> str:
    return _said(
        machine, "doveconf", "-n", "-c", str(stage / "etc/dovecot/dovecot.conf"), quiet=True
    )


def _nginx(machine: Machine, stage: Path) -> str:
    if not (stage / "etc/nginx/nginx.conf").exists():
        return ""
    return _said(machine, "nginx", "-t", "-q", "-c", str(stage / "etc/nginx/nginx.conf"))


def _opendkim(machine: Machine, stage: Path) -> str:
    config, table = stage / "etc/opendkim.conf", "/etc/postern/dkim/SigningTable"
    if not config.exists():
        return ""
    # The keys are there already; of the tables one is staged.
    text = config.read_text(encoding="utf-8").replace(table, f"{stage}{table}")
    checked = stage / "opendkim.conf"
    checked.write_text(text, encoding="utf-8")
    return _said(machine, "opendkim", "-n", "-x", str(checked))


def _units(machine: Machine, stage: Path) -> str:
    units = sorted((stage / "etc/systemd/system").glob("*.*"))
    names = [str(path) for path in units if path.is_file() and "@." not in path.name]
    said = _said(machine, "systemd-analyze", "verify", "--man=no", *names)
    # It looks at every unit that ours name, too; what it says of others is not ours to mend.
    about_ours = re.compile(re.escape(str(stage)))
    return "".join(line + "\n" for line in said.splitlines() if about_ours.search(line))


_COMPLAINT = re.compile(r"\b(warning|error|fatal|panic|ended with)\b")
"""Of a line that Postfix says: it also tells what it copies."""
_CHECKS = (_postfix, _dovecot, _nginx, _opendkim, _units)


def _said(machine: Machine, *command: str, quiet: bool = False) -> str:
    """What a check complains of; with `quiet` its output counts only where it fails."""
    try:
        said = machine.run(*command)
    except CommandFailed as error:
        return f"{error}\n"
    return "" if quiet else said
