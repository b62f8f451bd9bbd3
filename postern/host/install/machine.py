"""The edge to the host: its files below a root directory, and its commands."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

COMMAND_SECONDS = 900
"""No command takes longer, apt's downloads over a slow line apart."""
_ENVIRON = {
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_LOG_TARGET": "console",
}


class CommandFailed(Exception):
    """A command ended with an error or not at all; the message has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Machine:
    """This host. Tests give it another root directory."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        """Where an absolute path of the host is."""
        return self.root / path.lstrip("/")

    def run(self, *command: str, check: bool = True, text: str = "") -> str:
        """Run a command with `text` as its input; return what it printed, errors included.

        Raises CommandFailed, with `check` also where it exits with another code than 0.
        """
        try:
            done = subprocess.run(
                command,
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=COMMAND_SECONDS,
                check=False,
                env=os.environ | _ENVIRON,
            )
        except FileNotFoundError:
            raise CommandFailed(f"{command[0]} is not installed") from None
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"{' '.join(command)} took over {COMMAND_SECONDS} s") from None
        if check and done.returncode != 0:
            end = "\n".join(done.stdout.strip().splitlines()[-20:])
            raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{end}")
        return done.stdout

    def succeeds(self, *command: str) -> bool:
        """Whether a command exits with 0; False where it is not there."""
        try:
            self.run(*command)
        except CommandFailed:
            return False
        return True

    def users(self) -> dict[str, int]:
        """The host's users and their numbers."""
        return self._names("/etc/passwd")

    def groups(self) -> dict[str, int]:
        """The host's groups and their numbers."""
        return self._names("/etc/group")

    def members(self, group: str) -> set[str]:
        """The users that are in a group beside their own."""
        for line in self.at("/etc/group").read_text(encoding="utf-8").splitlines():
            name, *_, members = line.split(":")
            if name == group:
                return set(filter(None, members.split(",")))
        return set()

    def _names(self, path: str) -> dict[str, int]:
        lines = self.at(path).read_text(encoding="utf-8").splitlines()
        fields = [line.split(":") for line in lines if line.count(":") >= 2]
        return {each[0]: int(each[2]) for each in fields if each[2].isdigit()}

    def packages(self) -> set[str]:
        """The Debian packages that are installed."""
        listing = self.run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n")
        return {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}

    def release(self) -> str:
        """The number of the Debian release, `12`; empty where this is another system."""
        values = {}
        for line in self.at("/etc/os-release").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            values[name] = value.strip('"')
        return values.get("VERSION_ID", "") if values.get("ID") == "debian" else ""
