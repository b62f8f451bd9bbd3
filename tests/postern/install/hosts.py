"""A host in a directory: real files, and commands that are played."""

from dataclasses import dataclass, field
from pathlib import Path

from postern.host.install.machine import CommandFailed, Machine
from postern.host.install.plan import Plan, planned
from relay.config import parse_config

UNITS = Path(__file__).parents[3] / "systemd"
CONFIG_TEXT = """\
[params]
mail_domain = chat.example.org
postfix_reinject_sockets = /var/spool/postfix/public
"""
USERS = "root:x:0:0:\nvmail:x:999:999:\ndovecot:x:105:105:\nopendkim:x:109:109:\n"
GROUPS = "root:x:0:\nvmail:x:999:\ndovecot:x:105:\nopendkim:x:109:\n"


class Broken(CommandFailed):
    """The step at which a test breaks an installation."""


@dataclass(slots=True)
class State:
    """What a host is besides its files."""

    packages: set[str] = field(default_factory=lambda: {"bash"})
    enabled: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    break_at: int | None = None
    """The number of the changing command that fails; the change is half done by then."""
    changes: int = 0
    broken: list[str] | None = None
    """The command that failed: it fails again where it is tried again."""


@dataclass(frozen=True, slots=True)
class Played(Machine):
    """A machine whose commands act on a State."""

    state: State = field(default_factory=State)

    def run(self, *command: str, check: bool = True, text: str = "") -> str:
        """Play a command."""
        del text
        self.state.commands.append(command)
        name, arguments = command[0], [each for each in command[1:] if not each.startswith("-")]
        output, failed = "", False
        if name == "systemctl" and arguments[0] in ("is-enabled", "is-active"):
            known = self.state.enabled if arguments[0] == "is-enabled" else self.state.active
            failed = arguments[1] not in known
            output = "inactive\n" if failed else "active\n"
        elif name == "dpkg-query":
            output = "".join(f"{each} installed\n" for each in sorted(self.state.packages))
        elif name in ("systemctl", "apt-get", "useradd", "userdel", "usermod", "gpasswd"):
            self._change(name, arguments)
        if failed and check:
            raise CommandFailed(" ".join(command))
        return output

    def _change(self, name: str, arguments: list[str]) -> None:
        self.state.changes += 1
        self._act(name, arguments)
        if self.state.break_at == self.state.changes:
            self.state.broken = arguments
        if self.state.broken == arguments:
            raise Broken(f"{name} {' '.join(arguments)}")

    def _act(self, name: str, arguments: list[str]) -> None:
        verb, names = arguments[0], set(arguments[1:])
        if name == "apt-get" and verb == "install":
            self.state.packages |= {*names, "a-dependency"}
        elif name == "apt-get" and verb == "purge":
            self.state.packages -= names
        elif name in ("usermod", "gpasswd"):
            self._join(*arguments)
        elif name == "systemctl" and verb in ("start", "restart", "reload-or-restart"):
            self.state.active |= names
        elif name == "systemctl" and verb == "stop":
            self.state.active -= names
        elif name == "systemctl" and verb == "enable":
            self.state.enabled |= names
        elif name == "systemctl" and verb == "disable":
            self.state.enabled -= names

    def _join(self, first: str, second: str) -> None:
        """`usermod GROUP USER` puts a user into a group, `gpasswd USER GROUP` takes it out."""
        groups = self.at("/etc/group")
        text = groups.read_text()
        if text.count(f"{first}:x:"):
            text = text.replace(f"{first}:x:109:", f"{first}:x:109:{second}")
        else:
            text = text.replace(f"{second}:x:109:{first}", f"{second}:x:109:")
        groups.write_text(text)


def host(root: Path) -> Played:
    """A minimal host."""
    for path, text in {
        "etc/passwd": USERS,
        "etc/group": GROUPS,
        "etc/os-release": 'ID=debian\nVERSION_ID="13"\n',
        "usr/sbin/placeholder": "",
        "etc/postfix/main.cf": "# of Debian\n",
        "etc/postern/chatmail.ini": CONFIG_TEXT,
        "opt/postern/placeholder": "",
        "var/lib/placeholder": "",
    }.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return Played(root)


def plan(version: str = "one", config_text: str = CONFIG_TEXT, main_cf: str = "") -> Plan:
    """A plan for it."""
    config, _ = parse_config(config_text, "chatmail.ini")
    return planned(
        config,
        release="13",
        mailboxes_uid=999,
        venv=f"/opt/postern/versions/{version}/venv",
        units=UNITS,
        local=lambda name: main_cf if name == "main.cf" else "",
    )


def picture(machine: Played) -> tuple[dict[str, tuple[str, int]], set[str], set[str], set[str]]:
    """All that there is of a host: files, packages, units."""
    files = {}
    for path in sorted(machine.root.rglob("*")):
        name = str(path.relative_to(machine.root))
        if path.is_symlink():
            files[name] = (f"-> {path.readlink()}", 0)
        elif path.is_file():
            files[name] = (path.read_text(), path.stat().st_mode)
        else:
            files[name] = ("directory", path.stat().st_mode)
    state = machine.state
    return files, set(state.packages), set(state.enabled), set(state.active)
