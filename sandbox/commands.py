"""The commands `scripts/run` and `scripts/run login`."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.status import Status

from postern.options import DEFAULT_SANDBOX, RECORD
from sandbox.domain import mail_domain
from sandbox.login import running_sandbox
from sandbox.problem import SandboxProblem
from sandbox.relay import DOMAIN, Sandbox, remove_abandoned
from sandbox.show import (
    console,
    errors,
    show_login,
    show_outcome,
    show_problem,
    show_table,
)
from sandbox.signals import stopped_by_signals

INTERRUPTED = 130
"""The exit status of a command that was ended by Ctrl-C, as shells have it."""

app = typer.Typer(
    no_args_is_help=True,
    help="A whole relay in a private directory, on loopback.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Directory = Annotated[Path, typer.Option(help="Where the sandbox keeps its files.")]


@app.command()
def run(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Start a fresh relay on free ports, have two Delta Chat clients use it, "
            "print each step with its time, and exit 0 or 1.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --check: print the outcome as JSON.")
    ] = False,
    domain: Annotated[
        str,
        typer.Option(
            help="The relay's mail domain. An address literal needs no DNS.", callback=mail_domain
        ),
    ] = DOMAIN,
    directory: Directory = DEFAULT_SANDBOX,
) -> None:
    """Start Postfix, Dovecot and our daemons, and run until Ctrl-C.

    Nothing outside the sandbox's directory is changed, a Postfix or Dovecot of this system is
    left alone, everything listens on 127.0.0.1 only, and no mail leaves the machine. Accounts and
    mail are kept for the next run. Needs root, as Postfix does.
    """
    if as_json and not check:
        raise typer.BadParameter("--json goes with --check")
    with _told(), stopped_by_signals() as wait:
        if check:
            raise typer.Exit(_check(directory.resolve(), domain, as_json))
        _serve(directory, domain, wait)


@app.command()
def login(directory: Directory = DEFAULT_SANDBOX) -> None:
    """Print a fresh login for the sandbox that is running, as a link and a QR code."""
    with _told():
        show_login(*running_sandbox(directory / RECORD), directory)


@contextmanager
def _told() -> Iterator[None]:
    """Show a problem without a traceback."""
    try:
        yield
    except SandboxProblem as problem:
        show_problem(str(problem))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        errors.print("Stopped; everything that was started has ended.")
        raise typer.Exit(INTERRUPTED) from None


def _serve(directory: Path, domain: str, wait: Callable[[], None]) -> None:
    status = Status("starting", console=console)

    def report(text: str) -> None:
        status.update(escape(text))
        if not text.endswith(" answers"):
            console.print(f"{time.strftime('%H:%M:%S')} {escape(text)}")

    sandbox = Sandbox(directory, domain=domain, fixed_ports=True, report=report)
    try:
        with status:
            sandbox.start()
        show_table(sandbox)
        console.print("Running until Ctrl-C.\n")
        show_login(sandbox.domain, sandbox.ports, directory)
        wait()
    finally:
        with console.status("stopping"):
            sandbox.stop()
            sandbox.remove_if_temporary()


def _check(directory: Path, domain: str, as_json: bool) -> int:
    # The clients come with the `test` extra, which a plain run does without.
    from sandbox import check

    remove_abandoned(directory, "check-*")
    sandbox = Sandbox(directory / f"check-{secrets.token_hex(4)}", domain=domain)
    began = time.monotonic()
    outcomes = []
    with check.stage(sandbox) as stage:
        for step in check.STEPS:
            with errors.status(check.title(step)):
                outcomes.append(check.run_step(step, stage))
            if not as_json:
                show_outcome(outcomes[-1])
            if not outcomes[-1].ok:
                break
    ok, seconds = outcomes[-1].ok, time.monotonic() - began
    if ok:
        sandbox.remove()
    if as_json:
        told = {"ok": ok, "seconds": seconds, "steps": [asdict(outcome) for outcome in outcomes]}
        console.print_json(json.dumps(told))
    else:
        kept = "" if ok else f" The logs are in {sandbox.layout.logs}"
        console.print(f"{'All is well' if ok else 'It failed'}, after {seconds:.1f} s.{kept}")
    return 0 if ok else 1
