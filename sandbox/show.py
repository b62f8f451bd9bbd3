"""What the sandbox shows a person: the table of daemons, a login, the outcome of a step."""

import os
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from postern.options import DEFAULT_SANDBOX
from postern.qr import qr_code
from sandbox.login import fresh_login
from sandbox.outcome import Outcome
from sandbox.ports import LOOPBACK, PREFERRED
from sandbox.relay import Sandbox

NOT_OURS = ("postfix", "dovecot")
"""Daemons that start as root, and give that up by themselves where they can."""

# No wrapping by rich: a link that is cut in two cannot be pasted.
console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def show_problem(text: str) -> None:
    """Say why nothing runs."""
    errors.print(f"[red]✗[/] {escape(text)}")


def show_table(sandbox: Sandbox) -> None:
    """What runs where."""
    table = Table(title=f"A relay for {escape(sandbox.domain)}", title_justify="left")
    for heading in ("daemon", "where", "user", "pid"):
        table.add_column(heading, overflow="fold")
    for name, daemon in sandbox.daemons.items():
        user = "root" if name in NOT_OURS else sandbox.user or "root"
        table.add_row(name, daemon.spec.address, user, str(daemon.pid))
    console.print(table)
    console.print(f"Its files are in {_short(sandbox.layout.root)}, each daemon's log in log/.")
    status = command(".venv/bin/postern status --sandbox", sandbox.directory, "")
    console.print(f"Is it well? {escape(status)}")
    for name, port in sandbox.ports.items():
        if port != PREFERRED[name]:
            console.print(f"{name} is on port {port}, not on its usual {PREFERRED[name]}.")
    if sandbox.user is None:
        console.print(
            "Our daemons run as root: the interpreter or the checkout is in a directory that is "
            "closed to the user of the mailboxes."
        )


def show_login(domain: str, ports: dict[str, int], directory: Path) -> None:
    """A fresh login, as a link and as a QR code, which is last so that nothing scrolls it off."""
    link = fresh_login(domain).link(ports)
    console.print(
        f"To log in, paste this link into Delta Chat on this machine, or let it scan the code\n"
        f"(Create New Profile, Use Other Server). It leads to {LOOPBACK}: other devices, such as\n"
        "a phone, cannot reach that. Each link is a new account; this prints another:\n"
        f"{escape(command('scripts/run login', directory, '--directory'))}\n\n{escape(link)}"
    )
    sys.stdout.write(qr_code(link))
    sys.stdout.flush()


def command(words: str, directory: Path, option: str) -> str:
    """A command of a checkout for the sandbox in `directory`, as one types it."""
    is_default = directory.resolve() == DEFAULT_SANDBOX.resolve()
    return (
        words
        if is_default
        else " ".join(filter(None, (words, option, shlex.quote(str(directory)))))
    )


def show_outcome(outcome: Outcome) -> None:
    """One step of the check."""
    mark = "[green]✓[/]" if outcome.ok else "[red]✗[/]"
    detail = f": {escape(outcome.detail)}" if outcome.detail else ""
    console.print(f"{mark} {outcome.seconds:5.2f} s  {escape(outcome.title)}{detail}")


def _short(path: os.PathLike[str]) -> str:
    relative = os.path.relpath(path)
    return os.fspath(path) if relative.startswith("..") else relative
