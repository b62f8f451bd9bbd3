"""What the operator's commands share: the configuration, and one account by its address."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from relay.address import Address, InvalidAddress
from relay.config import Config, ConfigError, read_config
from relay.mailbox import Mailbox, Mailboxes

DEFAULT_CONFIG = Path("/etc/postern/chatmail.ini")
_errors = Console(stderr=True)

ConfigFile = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="The relay's chatmail.ini.")
]


def load_config(path: Path) -> Config:
    """The configuration; one with faults ends the command with 78 (EX_CONFIG) and the reason."""
    try:
        return read_config(path)
    except ConfigError as error:
        _errors.print(str(error), markup=False)
        raise typer.Exit(os.EX_CONFIG) from None


def mailboxes_of(config: Config) -> Mailboxes:
    """The relay's mailboxes."""
    return Mailboxes(config.mailboxes_dir, config.mail_domain)


def mailbox_of(config: Config, address: str) -> Mailbox:
    """Where an address has its mailbox, made or not; what is no address ends the command with 1."""
    try:
        mailbox = mailboxes_of(config).of(Address.parse(address))
    except InvalidAddress as error:
        _errors.print(f"{address}: {error}", markup=False)
        raise typer.Exit(1) from None
    if mailbox is None:
        _errors.print(f"{address}: this relay's domain is {config.mail_domain}", markup=False)
        raise typer.Exit(1)
    return mailbox


def existing_mailbox(config: Config, address: str) -> Mailbox:
    """The mailbox of an exact address; ends the command with 1 where there is none."""
    mailbox = mailbox_of(config, address)
    if mailbox.path.is_symlink() or not mailbox.path.is_dir():
        _errors.print(f"{address}: there is no such mailbox", markup=False)
        raise typer.Exit(1)
    return mailbox
