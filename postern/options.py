"""What the operator's commands share: the configuration, one account by its address, errors."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from relay.address import Address, InvalidAddress
from relay.config import Config, ConfigError, read_config
from relay.mailbox.directory import Mailbox, Mailboxes

DEFAULT_CONFIG = Path("/etc/postern/chatmail.ini")

ConfigFile = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="The relay's chatmail.ini.")
]


def complain(text: str) -> None:
    """Say what is the matter, on standard error: as it is, on a line of its own."""
    print(text, file=sys.stderr)  # noqa: T201 - a console would wrap it, also in a log


def load_config(path: Path) -> Config:
    """The configuration; one with faults ends the command with 78 (EX_CONFIG) and the reason."""
    try:
        return read_config(path)
    except ConfigError as error:
        complain(str(error))
        raise typer.Exit(os.EX_CONFIG) from None


def mailboxes_of(config: Config) -> Mailboxes:
    """The relay's mailboxes."""
    return Mailboxes(config.mailboxes_dir, config.mail_domain)


def mailbox_of(config: Config, address: str) -> Mailbox:
    """Where an address has its mailbox, made or not; what is no address ends the command with 1."""
    try:
        mailbox = mailboxes_of(config).of(Address.parse(address))
    except InvalidAddress as error:
        complain(f"{address}: {error}")
        raise typer.Exit(1) from None
    if mailbox is None:
        complain(f"{address}: this relay's domain is {config.mail_domain}")
        raise typer.Exit(1)
    return mailbox


def existing_mailbox(config: Config, address: str) -> Mailbox:
    """The mailbox of an exact address; ends the command with 1 where there is none."""
    mailbox = mailbox_of(config, address)
    if mailbox.path.is_symlink() or not mailbox.path.is_dir():
        complain(f"{address}: there is no such mailbox")
        raise typer.Exit(1)
    return mailbox
