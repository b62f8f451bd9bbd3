"""Whether an address may be made by logging in: the rules of the configuration, nothing else."""

from dataclasses import dataclass
from enum import Enum

from relay.address import Address
from relay.config import Config

MAX_PASSWORD = 511
"""Octets; crypt(3) of libxcrypt takes fewer than CRYPT_MAX_PASSPHRASE_SIZE, which is 512."""
# RFC 2142, RFC 5321, and names that strangers take for the operator's. Certificate authorities
# prove a domain's owner by some of them (CA/B Forum Baseline Requirements, 3.2.2.4.4): whoever
# has one may have a certificate.
_RESERVED = (
    "abuse admin administrator autoconfig autodiscover contact daemon dmarc ftp help hostmaster "
    "info mailer-daemon marketing news no-reply noc nobody noreply operator postmaster press "
    "privacy root sales security spam ssladmin ssladministrator sslwebmaster support sysadmin "
    "system usenet uucp vmail webmaster www"
)
RESERVED = frozenset(_RESERVED.split())
"""Local parts that nobody gets by logging in, whatever the configured lengths."""


class Refusal(Enum):
    """Why no account is made; the value is its reason in words, for the log."""

    NO_MAILBOX_NAME = "the name is no address that can have a mailbox"
    FOREIGN_DOMAIN = "the address is of another domain"
    BLOCKED = "the address is blocked"
    CLOSED = "the operator has closed registration"
    NOT_INVITED = "registration is by invitation"
    BAD_INVITATION = "the invitation is unknown, used up or expired"
    RESERVED = "the name is reserved"
    USERNAME_TOO_SHORT = "the user name is shorter than username_min_length"
    USERNAME_TOO_LONG = "the user name is longer than username_max_length"
    PASSWORD_TOO_SHORT = "the password is shorter than password_min_length"  # noqa: S105 - words
    PASSWORD_TOO_LONG = "the password is too long to be hashed"  # noqa: S105 - words
    PASSWORD_WITH_NUL = "the password has a NUL"  # noqa: S105 - words
    LOAD = "the load is above max_load_1m"
    MEMORY = "less memory is available than min_available_memory"
    DISK = "less disk space is free than min_free_disk_space"
    NO_FREE_NAME = "no free name of the configured length was found"
    NETWORK = "the client's network has used up max_creations_per_hour_per_network"

    @property
    def passes(self) -> bool:
        """Whether the same login may succeed later by itself.

        Then the answer is a temporary failure. After "wrong password" a person would give up an
        address that is theirs an hour later, and a client would ask for another one.
        """
        return self in (Refusal.LOAD, Refusal.MEMORY, Refusal.DISK, Refusal.NETWORK)


@dataclass(frozen=True, slots=True)
class Resources:
    """What a machine has left: load average of a minute, and octets that are free."""

    load: float
    memory: int
    disk: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What a new account must satisfy. Lengths in characters, sizes in octets."""

    username_min_length: int
    username_max_length: int
    password_min_length: int
    registration: str = "open"
    max_load_1m: float = float("inf")
    min_available_memory: int = 0
    min_free_disk_space: int = 0

    @classmethod
    def of(cls, config: Config) -> "Rules":
        """The rules that a configuration sets."""
        return cls(
            username_min_length=config.username_min_length,
            username_max_length=config.username_max_length,
            password_min_length=config.password_min_length,
            registration=config.registration,
            max_load_1m=config.max_load_1m,
            min_available_memory=config.min_available_memory,
            min_free_disk_space=config.min_free_disk_space,
        )


def refusal(address: Address, password: str, rules: Rules) -> Refusal | None:
    """Return why `address` must not be made with this password, None where it may.

    Octets of the password that are not UTF-8 are surrogates, one character each.
    """
    return _username_refusal(address.local, rules) or _password_refusal(password, rules)


def shortage(resources: Resources, rules: Rules) -> Refusal | None:
    """Return the limit of the machine that keeps accounts from being made now, if one does."""
    if resources.load > rules.max_load_1m:
        return Refusal.LOAD
    if resources.memory < rules.min_available_memory:
        return Refusal.MEMORY
    if resources.disk < rules.min_free_disk_space:
        return Refusal.DISK
    return None


def _username_refusal(local: str, rules: Rules) -> Refusal | None:
    if local in RESERVED:
        return Refusal.RESERVED
    if len(local) < rules.username_min_length:
        return Refusal.USERNAME_TOO_SHORT
    if len(local) > rules.username_max_length:
        return Refusal.USERNAME_TOO_LONG
    return None


def _password_refusal(password: str, rules: Rules) -> Refusal | None:
    if len(password) < rules.password_min_length:
        return Refusal.PASSWORD_TOO_SHORT
    if len(password.encode("utf-8", "surrogateescape")) > MAX_PASSWORD:
        return Refusal.PASSWORD_TOO_LONG
    if "\0" in password:
        # crypt(3) would hash what stands before it, and nothing else.
        return Refusal.PASSWORD_WITH_NUL
    return None
