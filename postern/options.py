"""What the operator's commands share: which relay is meant, one account by its address, errors."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from relay.address import Address, InvalidAddress
from relay.config import Config, ConfigError, read_config
from relay.mailbox.directory import Mailbox, Mailboxes
from relay.owner import Owner

DEFAULT_CONFIG = Path("/etc/postern/chatmail.ini")
DEFAULT_SANDBOX = Path(__file__).parents[1] / ".sandbox"
"""Of the checkout that this file is in."""
RECORD = "processes.json"
"""What a running sandbox records about itself, in its directory."""

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help=f"The relay's chatmail.ini. [default: {DEFAULT_CONFIG}]"
    ),
]
SandboxDirectory = Annotated[
    str | None,
    typer.Option(
        "--sandbox",
        metavar="[DIR]",
        help="The relay is the sandbox that runs in DIR. [default: .sandbox in the checkout]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def command_group(text: str | None = None) -> typer.Typer:
    """A command, or a group of them: plain help that fits 80 columns, `-h` as well as `--help`."""
    return typer.Typer(
        help=text,
        no_args_is_help=text is not None,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


@dataclass(frozen=True, slots=True)
class Relay:
    """The relay that a command works on."""

    config_file: Path
    config: Config
    sandbox: Path | None = None
    """The directory of the sandbox that it is; None: this host's own relay."""
    record: dict[str, Any] | None = None
    """What that sandbox records about itself."""

    @classmethod
    def of(cls, config_file: Path | None, sandbox: str | None) -> "Relay":
        """The relay that the options name.

        Ends the command with 1 where no sandbox runs, with 78 (EX_CONFIG) where the configuration
        has faults.
        """
        if sandbox is None:
            path = config_file or DEFAULT_CONFIG
            return cls(path, load_config(path))
        if config_file is not None:
            raise typer.BadParameter("--config and --sandbox both name a relay: give one of them")
        directory = Path(sandbox) if sandbox else DEFAULT_SANDBOX
        record = sandbox_record(directory)
        path = Path(record["config"])
        return cls(path, load_config(path), directory, record)

    @property
    def mailboxes(self) -> Mailboxes:
        """The relay's mailboxes."""
        return Mailboxes(self.config.mailboxes_dir, self.config.mail_domain)

    @property
    def owner(self) -> Owner:
        """The user that the mailboxes belong to; ends the command with 1 if there is none."""
        try:
            return Owner.named(self.config.mailboxes_user)
        except LookupError as error:
            fail(str(error))

    @property
    def doveadm(self) -> tuple[str, ...]:
        """The beginning of a `doveadm` command for this relay's Dovecot."""
        if self.record is None:
            return ("doveadm",)
        return ("doveadm", "-c", f"{self.record['dovecot']}/dovecot.conf")

    @property
    def postqueue(self) -> tuple[str, ...]:
        """The beginning of a `postqueue` command for this relay's Postfix."""
        return (
            ("postqueue",) if self.record is None else ("postqueue", "-c", self.record["postfix"])
        )

    def mailbox(self, address: str) -> Mailbox:
        """Where an address has its mailbox, made or not; ends the command with 1 if it cannot."""
        try:
            mailbox = self.mailboxes.of(Address.parse(address))
        except InvalidAddress as error:
            fail(f"{address}: {error}")
        if mailbox is None:
            fail(f"{address}: this relay's domain is {self.config.mail_domain}")
        return mailbox

    def existing_mailbox(self, address: str) -> Mailbox:
        """The mailbox of an exact address; ends the command with 1 where there is none."""
        mailbox = self.mailbox(address)
        if mailbox.path.is_symlink() or not mailbox.path.is_dir():
            fail(f"{address}: there is no such mailbox")
        return mailbox


def complain(text: str) -> None:
    """Print a line on standard error, never wrapped: it may end up in a log."""
    print(text, file=sys.stderr)


def fail(text: str) -> NoReturn:
    """End the command with 1, and with the reason on standard error."""
    complain(text)
    raise typer.Exit(1) from None


def load_config(path: Path) -> Config:
    """The configuration; a faulty one ends the command with 78 (EX_CONFIG) and the reason."""
    try:
        return read_config(path)
    except ConfigError as error:
        complain(str(error))
        if path == DEFAULT_CONFIG and not path.exists():
            complain("name another with --config FILE, or a running sandbox with --sandbox")
        raise typer.Exit(os.EX_CONFIG) from None


def sandbox_record(directory: Path) -> dict[str, Any]:
    """What the sandbox that runs in `directory` records about itself; ends the command with 1."""
    try:
        record: dict[str, Any] = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        fail(f"no sandbox runs in {directory}: scripts/run starts one")
    return record
