"""The first key that signs outgoing mail, and who may talk to the signer."""

from postern.host.dkim.directory import DIRECTORY, SIGNER, KeyDirectory, NoKeys
from postern.host.dns.records import has_no_dns
from postern.host.install.changes import Changes
from postern.host.install.machine import Machine
from postern.host.install.validate import Invalid
from relay.config import Config
from relay.owner import Owner

_POSTFIX = "postfix"
"""The user that Postfix' processes connect to the signer as."""


def ensure_signing_key(machine: Machine, changes: Changes, config: Config, now: int) -> bool:
    """Make the first signing key where none is. Return whether one was made.

    `now` is in seconds since the epoch. Raises Invalid where there are keys that cannot be used.
    """
    if has_no_dns(config.mail_domain):
        return False  # there is no name to publish a key under
    changes.join_group(_POSTFIX, SIGNER)
    owner = Owner(machine.users()[SIGNER], machine.groups()[SIGNER])
    keys = KeyDirectory(machine.at(str(DIRECTORY)), config.mail_domain, owner)
    for path in (DIRECTORY, DIRECTORY / keys.table.name):
        changes.will_make(str(path))
    try:
        return keys.ensure(now)
    except NoKeys as error:
        raise Invalid(str(error)) from None
