"""Logins for a sandbox: a fresh address, and the `dclogin:` link that Delta Chat scans."""

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from doveauth.offers import random_login
from sandbox.ports import LOOPBACK
from sandbox.problem import SandboxProblem

ACCEPT_SELF_SIGNED = "3"
"""The `ic` of a link: any certificate will do."""


@dataclass(frozen=True, slots=True)
class Login:
    """An address and its password; the first login makes the account."""

    address: str
    password: str

    def link(self, ports: dict[str, int]) -> str:
        """The link that configures a client by itself, ports and certificate check included."""
        options = {
            "p": self.password,
            "v": "1",
            "ih": LOOPBACK,
            "ip": ports["imaps"],
            "is": "ssl",
            "sh": LOOPBACK,
            "sp": ports["smtps"],
            "ss": "ssl",
            "ic": ACCEPT_SELF_SIGNED,
        }
        return f"dclogin:{self.address}?{urlencode(options)}"


def fresh_login(domain: str) -> Login:
    """A random login, as a relay offers them."""
    local, password = random_login()
    return Login(f"{local}@{domain}", password)


def running_sandbox(record: Path) -> tuple[str, dict[str, int]]:
    """Domain and ports of the sandbox that keeps `record`; raises SandboxProblem without one."""
    try:
        running = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SandboxProblem(
            f"no sandbox runs in {record.parent}: scripts/run starts one"
        ) from None
    return running["domain"], running["ports"]
