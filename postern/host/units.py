"""Our systemd units, from `systemd/` of the source, for a host's own configuration. Pure."""

from collections.abc import Iterator
from pathlib import Path

from relay.config import Config

_SUFFIXES = (".service", ".socket", ".timer", ".conf", ".path")
_MAILBOXES = "/home/vmail/mail"
"""As the files in `systemd/` have it."""


def unit_files(directory: Path) -> Iterator[str]:
    """The names of the units' files and drop-ins in `systemd/`, sorted."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.suffix in _SUFFIXES:
            yield str(path.relative_to(directory))


def rendered_unit(text: str, config: Config) -> str:
    """A unit's file with this host's user, mailboxes and ports."""
    lines = [_line(line, config) for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def _line(line: str, config: Config) -> str:
    key, is_setting, value = line.partition("=")
    if not is_setting or key.startswith("#"):
        return line
    if value == "vmail" and key in ("User", "Group", "SocketUser"):
        return f"{key}={config.mailboxes_user}"
    if value == _MAILBOXES:
        return _mailboxes_line(key, config.mailboxes_dir.parent)
    ports = {
        "127.0.0.1:10080": f"127.0.0.1:{config.filtermail_smtp_port}",
        "127.0.0.1:10081": f"127.0.0.1:{config.filtermail_smtp_port_incoming}",
    }
    return f"{key}={ports.get(value, value)}"


def _mailboxes_line(key: str, directory: Path) -> str:
    """Below /home they are bound into an empty one; elsewhere they are only to be opened."""
    if directory.is_relative_to("/home") or key == "RequiresMountsFor":
        return f"{key}={directory}"
    return f"ReadWritePaths={directory}" if key == "BindPaths" else f"ReadOnlyPaths={directory}"
